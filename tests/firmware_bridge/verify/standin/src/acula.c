/* A stand-in model: it sums the samples of a hop. standin.py computes the same. */
#include <string.h>

#include "acula.h"

struct acula {
    uint64_t at;
    uint32_t count, hop, evidence;
    int32_t sum;
    int pending, finished;
};

const char acula_model_name[] = "standin";
const char acula_model_version[] = "1";
const char acula_model_sha256[] =
    "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

static const float weights[ACULA_FINDINGS] = {1.0f, -0.5f, 0.1f};

void acula_reset(acula *self)
{
    memset(self, 0, sizeof *self);
}

acula_status acula_init(acula **self, void *arena, size_t bytes)
{
    if (bytes < sizeof(acula)) {
        return ACULA_ARENA_TOO_SMALL;
    }
    *self = arena;
    acula_reset(*self);
    return ACULA_OK;
}

acula_status acula_lost(acula *self, uint32_t samples)
{
    self->at += samples;
    self->count = 0;
    self->sum = 0;
    return ACULA_OK;
}

acula_status acula_push(acula *self, const int16_t *pcm, size_t count, size_t *consumed)
{
    size_t taken = 0;

    *consumed = 0;
    if (self->finished) {
        return ACULA_FINISHED;
    }
    while (taken < count && !self->pending) {
        self->sum += pcm[taken++];
        self->pending = ++self->count == ACULA_HOP;
    }
    self->at += taken;
    *consumed = taken;
    return ACULA_OK;
}

int acula_poll(acula *self, acula_result *result)
{
    volatile uint8_t deep[STANDIN_STACK];
    int k;

    if (!self->pending) {
        return 0;
    }
    for (k = 0; k < STANDIN_STACK; ++k) {
        deep[k] = 1;
    }
    memset(result, 0, sizeof *result);
    result->start = self->at - ACULA_HOP;
    result->hop = self->hop++;
    result->quality = self->sum > 0 ? ACULA_QUALITY_OK : ACULA_QUALITY_WARN;
    for (k = 0; k < ACULA_FINDINGS; ++k) {
        result->scores[k] = (float)self->sum * weights[k] * (float)deep[k];
        result->step_scores[k][k] = (float)self->hop;
        result->probability[k] = (double)(self->sum & 1023) / 1023.0;
    }
    result->phases[1][2] = -0.0f;
    result->embedding[4] = (float)self->count;
    ++self->evidence;
    self->pending = 0;
    self->sum = 0;
    self->count = 0;
    return 1;
}

acula_status acula_finish(acula *self, acula_exam *exam)
{
    memset(exam, 0, sizeof *exam);
    exam->evidence_hops = self->evidence;
    exam->probability[2] = 0.25;
    exam->decision[1] = ACULA_UNSURE;
    self->finished = 1;
    return ACULA_OK;
}
