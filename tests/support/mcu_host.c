/* Test program: commands on stdin (int32 n: n samples to push, -n samples lost, 0: finish, the
 * least int32: reset), every field of every result on stdout, little-endian and unpadded. */
#include <stdio.h>
#include <stdlib.h>

#include "acula.h"

static void put(const void *data, size_t bytes) {
    if (fwrite(data, 1, bytes, stdout) != bytes) {
        exit(3);
    }
}
#define PUT(field) put(&(field), sizeof(field))

static void take(acula *listener) {
    acula_result r;
    while (acula_poll(listener, &r)) {
        PUT(r.start);
        PUT(r.hop);
        PUT(r.quality);
        PUT(r.reasons);
        PUT(r.active);
        PUT(r.scores);
        PUT(r.step_scores);
#if ACULA_PHASES > 0
        PUT(r.phases);
#endif
        PUT(r.embedding);
        PUT(r.probability);
    }
}

static void push(acula *listener, int32_t count) {
    int16_t *pcm = malloc((size_t)count * sizeof *pcm);
    if (pcm == NULL || fread(pcm, sizeof *pcm, (size_t)count, stdin) != (size_t)count) {
        exit(4);
    }
    for (size_t used = 0, taken = 0; used < (size_t)count; used += taken) {
        if (acula_push(listener, pcm + used, (size_t)count - used, &taken) != ACULA_OK) {
            exit(5);
        }
        take(listener);
    }
    free(pcm);
}

int main(void) {
    void *arena = malloc(ACULA_ARENA_BYTES);
    acula *listener;
    int32_t command;
    if (acula_init(&listener, arena, ACULA_ARENA_BYTES) != ACULA_OK) {
        return 6;
    }
    while (fread(&command, sizeof command, 1, stdin) == 1) {
        if (command == INT32_MIN) {
            acula_reset(listener);
        } else if (command > 0) {
            push(listener, command);
        } else if (command < 0) {
            if (acula_lost(listener, (uint32_t)-command) != ACULA_OK) {
                return 7;
            }
        } else {
            acula_exam exam;
            if (acula_finish(listener, &exam) != ACULA_OK) {
                return 8;
            }
            PUT(exam.probability);
            PUT(exam.decision);
            PUT(exam.abstained);
            PUT(exam.evidence_hops);
            PUT(exam.refused_hops);
        }
    }
    free(arena);
    return 0;
}
