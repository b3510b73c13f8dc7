// Holds the precompiled header that everything above LibTorch shares.
