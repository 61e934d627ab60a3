/* The instance: life cycle, and the cutting of sound into hops.
 * SPDX-License-Identifier: Apache-2.0 */
#include "acula_internal.h"

/* A model whose header and sources do not belong together, or an unforeseen ABI, fails here. */
typedef char acula_arena_fits[sizeof(acula) <= ACULA_ARENA_BYTES ? 1 : -1];

static void restart_network(acula *self) {
    acula_front_reset(self);
    acula_nn_reset(self);
}

void acula_reset(acula *self) {
    if (self == NULL) {
        return;
    }
    memset(self, 0, sizeof *self);
    restart_network(self);
    acula_gate_reset(self);
}

acula_status acula_init(acula **self, void *arena, size_t bytes) {
    if (self == NULL || arena == NULL) {
        return ACULA_BAD_ARGUMENT;
    }
    *self = NULL;
    if ((uintptr_t)arena % ACULA_ARENA_ALIGN != 0) {
        return ACULA_ARENA_UNALIGNED;
    }
    if (bytes < ACULA_ARENA_BYTES) {
        return ACULA_ARENA_TOO_SMALL;
    }
    *self = arena;
    acula_reset(*self);
    return ACULA_OK;
}

static void score(acula *self) {
    const uint8_t was_absent = self->absent;
    acula_gate_judge(self);
    if (was_absent && !self->absent) {
        restart_network(self); /* what came before contact is no sound of this patient */
    }
    acula_front_run(self);
    acula_nn_run(self);
    self->result.hop = self->hops;
    self->result.start = self->origin + (uint64_t)self->hops_since * ACULA_HOP;
    acula_decide(self);
    self->hops++;
    self->hops_since++;
    self->filled = 0;
    self->pending = 1;
}

acula_status acula_push(acula *self, const int16_t *pcm, size_t count, size_t *consumed) {
    if (consumed != NULL) {
        *consumed = 0;
    }
    if (self == NULL || consumed == NULL || (pcm == NULL && count > 0)) {
        return ACULA_BAD_ARGUMENT;
    }
    if (self->finished) {
        return ACULA_FINISHED;
    }
    size_t used = 0;
    while (used < count && !self->pending) {
        const size_t room = ACULA_HOP - self->filled;
        const size_t taken = count - used < room ? count - used : room;
        memcpy(self->pcm + ACULA_HISTORY + self->filled, pcm + used, taken * sizeof *pcm);
        self->filled += (uint32_t)taken;
        self->samples += taken;
        used += taken;
        if (self->filled == ACULA_HOP) {
            score(self);
        }
    }
    *consumed = used;
    return ACULA_OK;
}

int acula_poll(acula *self, acula_result *result) {
    if (self == NULL || result == NULL || !self->pending) {
        return 0;
    }
    *result = self->result;
    self->pending = 0;
    return 1;
}

acula_status acula_lost(acula *self, uint32_t samples) {
    if (self == NULL) {
        return ACULA_BAD_ARGUMENT;
    }
    if (self->finished) {
        return ACULA_FINISHED;
    }
    if (samples == 0) {
        return ACULA_OK;
    }
    self->samples += samples;
    self->origin = self->samples;
    self->hops_since = 0;
    self->filled = 0;
    restart_network(self);
    acula_gate_reset(self);
    self->gap_left = ACULA_GAP_SECONDS;
    acula_switches_reset(self);
    return ACULA_OK;
}

acula_status acula_finish(acula *self, acula_exam *exam) {
    if (self == NULL || exam == NULL) {
        return ACULA_BAD_ARGUMENT;
    }
    self->finished = 1;
    acula_summarise(self, exam);
    return ACULA_OK;
}
