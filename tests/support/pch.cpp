// Holds the precompiled header that all tests of the upper floor share.
