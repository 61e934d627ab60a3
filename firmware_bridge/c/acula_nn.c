/* The integer layers: causal convolutions with histories, residual sums and heads.
 *
 * Two output steps share one multiplication. A word holds the codes of two input frames that are
 * one output step apart, `x + y * 2^23`; times a weight and added up in 64 bits it carries both
 * sums, which stay apart because neither reaches 2^22 (the emitter has checked). So a core with a
 * long multiply-accumulate needs about one instruction per product, in plain C.
 *
 * With ACULA_USE_CMSIS_NN convolutions are CMSIS-NN's; that library rounds as ACULA_ROUNDING must
 * then say, SINGLE or DOUBLE. SPDX-License-Identifier: Apache-2.0 */
#include "acula_internal.h"

#if defined(ACULA_USE_CMSIS_NN) && ACULA_ROUNDING == ACULA_ROUNDING_FLOAT
#error "CMSIS-NN rounds in fixed point: define ACULA_ROUNDING as 1 (single) or 2 (double)"
#endif
#ifdef ACULA_USE_CMSIS_NN
#include "arm_nnfunctions.h"
#endif

#define APART 23

#if defined(__GNUC__)
#define ACULA_INLINE static inline __attribute__((always_inline))
#define ACULA_NOINLINE __attribute__((noinline))
#else
#define ACULA_INLINE static inline
#define ACULA_NOINLINE
#endif

void acula_nn_reset(acula *self) {
    for (uint32_t i = 0; i < ACULA_BLOCKS; i++) {
        const acula_block *block = &acula_blocks[i];
        const size_t size = (size_t)block->history * block->inputs;
        memset(self->histories + block->at, (int)block->source.zero, size);
    }
}

static int32_t clamp(int32_t x, int32_t low, int32_t high) {
    return x < low ? low : x > high ? high : x;
}

#if ACULA_ROUNDING == ACULA_ROUNDING_SINGLE

static int32_t scaled(int32_t x, int32_t quotient, int32_t shift) {
    const int32_t total = 31 - shift;
    return (int32_t)(((int64_t)x * quotient + ((int64_t)1 << (total - 1))) >> total);
}

#elif ACULA_ROUNDING == ACULA_ROUNDING_DOUBLE

static int32_t scaled(int32_t x, int32_t quotient, int32_t shift) {
    const int32_t left = shift > 0 ? shift : 0, right = shift > 0 ? 0 : -shift;
    const int64_t product = (int64_t)x * ((int64_t)1 << left) * quotient;
    const int64_t nudge = product >= 0 ? (int64_t)1 << 30 : 1 - ((int64_t)1 << 30);
    const int32_t high = (int32_t)((product + nudge) / ((int64_t)1 << 31)); /* toward zero */
    const int32_t mask = (int32_t)(((int64_t)1 << right) - 1);
    return (high >> right) + ((high & mask) > (mask >> 1) + (high < 0));
}

#endif

/* The code of output `o`'s ReLU for its accumulator, still without bias. */
ACULA_INLINE int32_t relu_code(const acula_block *block, uint32_t o, int32_t sum) {
    sum += block->bias[o];
#if ACULA_ROUNDING == ACULA_ROUNDING_FLOAT
    int32_t code = acula_round((float)sum * block->factor[o]) + block->relu.zero;
#else
    int32_t code = scaled(sum, block->quotient[o], block->shift[o]) + block->relu.zero;
#endif
    return clamp(code, block->relu.zero, 127);
}

/* The code of the residual sum of what the block read and its ReLU. */
ACULA_INLINE int32_t sum_code(const acula_block *block, int32_t x, int32_t code) {
    x -= block->source.zero;
    code -= block->relu.zero;
#if ACULA_ROUNDING == ACULA_ROUNDING_FLOAT
    const float real = (float)x * block->source.scale + (float)code * block->relu.scale;
    code = acula_round(real / block->output.scale);
#else
    code = scaled(code * (1 << 20), block->of_relu.quotient, block->of_relu.shift);
    code += scaled(x * (1 << 20), block->of_source.quotient, block->of_source.shift);
    code = scaled(code, block->of_sum.quotient, block->of_sum.shift);
#endif
    return clamp(code + block->output.zero, -128, 127);
}

#ifndef ACULA_USE_CMSIS_NN

/* Row r of the history followed by the newest codes. */
static const int8_t *row(const acula *self, const acula_block *block, uint32_t r) {
    return r < block->history ? self->histories + block->at + r * block->inputs
                              : self->codes + (r - block->history) * block->inputs;
}

static void pair_rows(acula *self, const acula_block *block) {
    const uint32_t rows = (uint32_t)block->history + block->frames;
    int32_t *out = self->scratch.pairs;
    for (uint32_t r = 0; r < rows; r++) {
        const int8_t *x = row(self, block, r);
        /* beyond the last row nothing is read but the half of a pair that is thrown away */
        const int8_t *y = r + block->stride < rows ? row(self, block, r + block->stride) : x;
        for (const int8_t *const end = x + block->inputs; x < end; x += 4, y += 4, out += 4) {
            out[0] = x[0] + y[0] * (1 << APART);
            out[1] = x[1] + y[1] * (1 << APART);
            out[2] = x[2] + y[2] * (1 << APART);
            out[3] = x[3] + y[3] * (1 << APART);
        }
    }
}

ACULA_INLINE int32_t first_of(int64_t sums) {
    return (int32_t)((uint32_t)sums << (32 - APART)) >> (32 - APART);
}

ACULA_INLINE int32_t second_of(int64_t sums) {
    return (int32_t)((sums - first_of(sums)) >> APART);
}

ACULA_INLINE int8_t finish(const acula_block *block, uint32_t o, int32_t sum, int8_t x) {
    const int32_t code = relu_code(block, o, sum);
    return (int8_t)(block->residual ? sum_code(block, x, code) : code);
}

ACULA_INLINE void store(acula *self, const acula_block *block, uint32_t t, uint32_t o, int64_t sums) {
    int8_t *const first = self->codes + t * block->outputs + o;
    *first = finish(block, o, first_of(sums), *first);
    if ((t + 1) * block->stride < block->frames) {
        int8_t *const second = first + block->outputs;
        *second = finish(block, o, second_of(sums), *second);
    }
}

#define PRODUCTS(i)                              \
    a += (int64_t)w[i] * x[i];                  \
    b += (int64_t)w[i] * x[(i) + apart];        \
    c += (int64_t)w[i] * x[(i) + 2 * apart];

/* Sums of one output over three pairs of steps, for one shape of convolution: with its sizes
 * constant, all offsets are immediate. Functions of their own, because a compiler keeps three
 * 64-bit sums in 13 registers only if there is nothing else to keep. */
#define SUMS(index, channels, taps, stride)                                            \
    ACULA_NOINLINE static void sums_##index(const int32_t *rows, const int8_t *w,      \
                                            uint32_t jump, int64_t *sums) {            \
        enum { apart = 2 * (stride) * (channels) };                                    \
        const int8_t *const last = w + (taps) * (channels);                            \
        int64_t a = 0, b = 0, c = 0;                                                   \
        for (; w < last; rows += jump) {                                               \
            const int32_t *x = rows;                                                   \
            for (const int8_t *const end = w + (channels); w < end; w += 4, x += 4) {  \
                PRODUCTS(0) PRODUCTS(1) PRODUCTS(2) PRODUCTS(3)                        \
            }                                                                          \
        }                                                                              \
        sums[0] = a;                                                                   \
        sums[1] = b;                                                                   \
        sums[2] = c;                                                                   \
    }

ACULA_SHAPES(SUMS)

typedef void (*sums_function)(const int32_t *, const int8_t *, uint32_t, int64_t *);
#define SUMS_NAME(index, channels, taps, stride) sums_##index,
static const sums_function sums_of[] = {ACULA_SHAPES(SUMS_NAME)};

static void convolve(acula *self, const acula_block *block) {
    const uint32_t steps = block->frames / block->stride, inputs = block->inputs;
    const int8_t *weight = block->weight;
    for (uint32_t o = 0; o < block->outputs; o++, weight += block->taps * inputs) {
        for (uint32_t t = 0; t < steps; t += 6) {
            const int32_t *const rows = self->scratch.pairs + t * block->stride * inputs;
            int64_t sums[3];
            sums_of[block->shape](rows, weight, block->dilation * inputs, sums);
            for (uint32_t i = 0; i < 3 && t + 2 * i < steps; i++) {
                store(self, block, t + 2 * i, o, sums[i]);
            }
        }
    }
}

#endif

/* The history moves on by the newest codes. */
static void carry(acula *self, const acula_block *block) {
    const size_t kept = (size_t)block->history * block->inputs;
    const size_t fresh = (size_t)block->frames * block->inputs;
    int8_t *const history = self->histories + block->at;
    if (fresh >= kept) {
        memcpy(history, self->codes + (fresh - kept), kept);
    } else {
        memmove(history, history + fresh, kept - fresh);
        memcpy(history + (kept - fresh), self->codes, fresh);
    }
}

#ifdef ACULA_USE_CMSIS_NN

/* The convolution by CMSIS-NN over history and newest codes joined, then the residual here. The
 * biases hold the zero point already, so the library is told of none. */
static void run_block(acula *self, const acula_block *block) {
    const size_t kept = (size_t)block->history * block->inputs;
    const size_t fresh = (size_t)block->frames * block->inputs;
    const int32_t rows = block->history + block->frames, steps = block->frames / block->stride;
    const size_t count = (size_t)steps * block->outputs, used = (kept + fresh + count + 7) / 8 * 8;
    int8_t *const joined = (int8_t *)self->scratch.pairs, *const relu = joined + kept + fresh;
    memcpy(joined, self->histories + block->at, kept);
    memcpy(joined + kept, self->codes, fresh);
    const cmsis_nn_context context = {joined + used,
                                      (int32_t)(sizeof self->scratch.pairs - used)};
    const cmsis_nn_conv_params params = {.input_offset = 0,
                                         .output_offset = block->relu.zero,
                                         .stride = {.w = block->stride, .h = 1},
                                         .padding = {.w = 0, .h = 0},
                                         .dilation = {.w = block->dilation, .h = 1},
                                         .activation = {.min = block->relu.zero, .max = 127}};
    const cmsis_nn_per_channel_quant_params quant = {(int32_t *)(uintptr_t)block->quotient,
                                                     (int32_t *)(uintptr_t)block->shift};
    const cmsis_nn_dims input = {1, 1, rows, block->inputs};
    const cmsis_nn_dims filter = {block->outputs, 1, block->taps, block->inputs};
    const cmsis_nn_dims bias = {1, 1, 1, block->outputs};
    const cmsis_nn_dims output = {1, 1, steps, block->outputs};
    (void)arm_convolve_s8(&context, &params, &quant, &input, joined, &filter, block->weight, &bias,
                          block->bias, NULL, &output, relu);
    carry(self, block);
    for (size_t i = 0; i < count; i++) {
        const int32_t code = relu[i];
        self->codes[i] = (int8_t)(block->residual ? sum_code(block, self->codes[i], code) : code);
    }
}

#else

static void run_block(acula *self, const acula_block *block) {
    pair_rows(self, block);
    carry(self, block);
    convolve(self, block);
}

#endif

static float logit(const acula_head *head, uint32_t o, const int8_t *x) {
    const int8_t *weight = head->weight + o * ACULA_WIDTH;
    int32_t sum = head->bias[o];
    for (uint32_t c = 0; c < ACULA_WIDTH; c++) {
        sum += weight[c] * x[c];
    }
    return (float)sum * head->factor[o];
}

/* The code of a channel's mean over the hop. */
static int8_t mean_code(const acula *self, uint32_t channel) {
    int32_t total = 0;
    for (uint32_t t = 0; t < ACULA_STEPS; t++) {
        total += self->codes[t * ACULA_WIDTH + channel] - ACULA_TRUNK_ZERO;
    }
#if ACULA_ROUNDING == ACULA_ROUNDING_FLOAT
    const int32_t mean = acula_round((float)total / (float)ACULA_STEPS);
#else
    const int32_t mean = (total + (total < 0 ? -(ACULA_STEPS / 2) : ACULA_STEPS / 2)) / ACULA_STEPS;
#endif
    return (int8_t)clamp(mean + ACULA_TRUNK_ZERO, -128, 127);
}

static void run_heads(acula *self) {
    acula_result *const result = &self->result;
    for (uint32_t k = 0; k < ACULA_FINDINGS; k++) {
        float total = 0.0f;
        for (uint32_t t = 0; t < ACULA_STEPS; t++) {
            const float step = logit(&acula_findings_head, k, self->codes + t * ACULA_WIDTH);
            result->step_scores[k][t] = step;
            total += step;
        }
        result->scores[k] = total / (float)ACULA_STEPS;
    }
#if ACULA_PHASES > 0
    for (uint32_t p = 0; p < ACULA_PHASES; p++) {
        for (uint32_t t = 0; t < ACULA_STEPS; t++) {
            const int8_t *const x = self->codes + t * ACULA_WIDTH;
            result->phases[p][t] = logit(&acula_phases_head, p, x);
        }
    }
#endif
#if ACULA_TEXT > 0
    int8_t mean[ACULA_WIDTH];
    for (uint32_t c = 0; c < ACULA_WIDTH; c++) {
        mean[c] = mean_code(self, c);
    }
    for (uint32_t e = 0; e < ACULA_EMBEDDING; e++) {
        result->embedding[e] = logit(&acula_text_head, e, mean);
    }
#else
    for (uint32_t e = 0; e < ACULA_EMBEDDING; e++) {
        int32_t total = 0;
        for (uint32_t t = 0; t < ACULA_STEPS; t++) {
            total += self->codes[t * ACULA_WIDTH + e] - ACULA_TRUNK_ZERO;
        }
        result->embedding[e] = (float)total * ACULA_TRUNK_SHARE;
    }
#endif
}

void acula_nn_run(acula *self) {
    for (uint32_t i = 0; i < ACULA_BLOCKS; i++) {
        run_block(self, &acula_blocks[i]);
    }
    run_heads(self);
}
