// The bodies, compiled for AVX2 and FMA (see CMakeLists.txt).
#define GUERDON_ISA avx2
#define GUERDON_TABLE avx2_kernels
#define GUERDON_TILE_COLUMNS 1
#include "bodies.h"
