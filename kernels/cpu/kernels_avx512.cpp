// The bodies, compiled for AVX-512 (see CMakeLists.txt).
#define GUERDON_ISA avx512
#define GUERDON_TABLE avx512_kernels
#define GUERDON_TILE_COLUMNS 4
#include "bodies.h"
