/* What the parts share: the instance, the model's tables, and the calls between the files.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ACULA_INTERNAL_H
#define ACULA_INTERNAL_H

#include "acula.h"
#include "acula_math.h"

/* How sums come back to 8 bits. FLOAT is the norm and gives the reference's bytes; SINGLE and
 * DOUBLE give those of CMSIS-NN (rounding once) and TFLM (rounding twice). */
#define ACULA_ROUNDING_FLOAT 0
#define ACULA_ROUNDING_SINGLE 1
#define ACULA_ROUNDING_DOUBLE 2
#ifndef ACULA_ROUNDING
#define ACULA_ROUNDING ACULA_ROUNDING_FLOAT
#endif

/* A fixed-point factor: quotient * 2^(shift - 31). */
typedef struct {
    int32_t quotient;
    int32_t shift;
} acula_factor;

/* real = scale * (code - zero) */
typedef struct {
    float scale;
    int32_t zero;
} acula_scale;

/* One causal convolution with its ReLU. Weights are (outputs, taps, inputs); biases hold the
 * source's zero point already. `shape` is the index in ACULA_SHAPES. */
typedef struct {
    const int8_t *weight;
    const int32_t *bias;
    const float *factor;         /* per output: source * weight / relu scale */
    const int32_t *quotient;     /* the same in fixed point */
    const int32_t *shift;
    acula_scale source, relu, output;
    acula_factor of_source, of_relu, of_sum; /* of a residual sum in fixed point */
    uint16_t at;                 /* of its history in the instance's histories */
    uint16_t inputs, outputs;
    uint8_t shape, taps, dilation, stride;
    uint8_t history;             /* frames carried */
    uint8_t frames;              /* read per hop */
    uint8_t residual;
} acula_block;

/* A linear layer on the trunk. Weights are (outputs, inputs). */
typedef struct {
    const int8_t *weight;
    const int32_t *bias;
    const float *factor; /* per output: source * weight scale */
    uint16_t outputs;
} acula_head;

/* Band b weighs count[b] bins from first[b] on. */
typedef struct {
    const float *window;  /* (frame,) */
    const float *twiddle; /* 6 per butterfly; the shorter frame's are at the end of the longer's */
    const float *turn;    /* (points / 2, 2) cosine and sine of 2 pi k / frame */
    const uint8_t *place; /* (points,) where the transform leaves each frequency */
    const uint8_t *first, *count;
    const float *weight;
    uint16_t points, bands;
} acula_spectrum;

/* How a finding is calibrated, pooled and switched. Sharpness 0 pools by the mean. */
typedef struct {
    double bias, temperature, sharpness, present, absent, enter, leave;
} acula_finding;

/* In one rounding the other's factors are not even linked. */
#if ACULA_ROUNDING == ACULA_ROUNDING_FLOAT
#define ACULA_FACTORS(name) .factor = name##_factor, .quotient = NULL, .shift = NULL
#else
#define ACULA_FACTORS(name) .factor = NULL, .quotient = name##_quotient, .shift = name##_shift
#endif

extern const acula_block acula_blocks[ACULA_BLOCKS];
extern const acula_head acula_findings_head, acula_phases_head, acula_text_head;
extern const acula_spectrum acula_long, acula_short;
extern const acula_finding acula_findings[ACULA_FINDINGS];

/* The instance, widest members first so that no ABI pads between them. Scratch is used by the
 * front end, then by the layers. */
struct acula {
    int64_t powers[ACULA_GATE_HOPS]; /* hop * sum(x^2) - sum(x)^2 of the latest hops */
    uint64_t samples; /* received and lost */
    uint64_t origin;  /* of the hops since the last gap */
    double gap_left;  /* seconds */
    double sum[ACULA_FINDINGS], weight[ACULA_FINDINGS], since[ACULA_FINDINGS];
    double peak[ACULA_FINDINGS], pooled[ACULA_FINDINGS];
    acula_result result;
    float means[ACULA_CHANNELS], means_weight, level, level_weight;
    union {
        struct {
            float samples[ACULA_HISTORY + ACULA_HOP];
            float spectrum[ACULA_LONG_FRAME];
            float power[ACULA_LONG_FRAME / 2];
            float energies[ACULA_CHANNELS];
        } front;
        int32_t pairs[ACULA_PAIRS]; /* see acula_nn.c */
    } scratch;
    uint32_t hops_since, hops, evidence, refused;
    uint32_t filled; /* samples of the hop in progress */
    int16_t pcm[ACULA_HISTORY + ACULA_HOP];
    uint16_t clips[ACULA_GATE_HOPS], checked[ACULA_GATE_HOPS];
    int16_t block_first; /* of the gate's 20 ms block in progress */
    uint16_t block_filled;
    int8_t histories[ACULA_HISTORIES];
    int8_t codes[ACULA_CODES];
    uint8_t block_other, block_clips;
    uint8_t heard, slot; /* hops the gate remembers, and where the next goes */
    uint8_t on[ACULA_FINDINGS], crossing[ACULA_FINDINGS];
    uint8_t absent, pending, finished;
};

/* acula_front.c: forget; one hop of self->pcm to self->codes. */
void acula_front_reset(acula *self);
void acula_front_run(acula *self);

/* acula_nn.c: zero state; self->codes through all blocks to the result's logits. */
void acula_nn_reset(acula *self);
void acula_nn_run(acula *self);

/* acula_decision.c: gate, smoothing, exam. */
void acula_gate_reset(acula *self);
void acula_gate_judge(acula *self);
void acula_switches_reset(acula *self);
void acula_decide(acula *self);
void acula_summarise(const acula *self, acula_exam *exam);

#endif
