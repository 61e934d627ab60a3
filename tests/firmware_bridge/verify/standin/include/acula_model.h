/* Sizes of the stand-in model. */
#ifndef ACULA_MODEL_H
#define ACULA_MODEL_H

#define ACULA_RATE 4000
#define ACULA_HOP 768
#define ACULA_FINDINGS 3
#define ACULA_STEPS 6
#define ACULA_PHASES 4
#define ACULA_EMBEDDING 5
#define ACULA_ARENA_BYTES 128
#define ACULA_ARENA_ALIGN 8

#endif
