/* A stand-in for the part of CMSIS-NN that the emitted C calls, of our own, in plain loops: it
 * shows that the call site passes what that library's interface asks for. The types' fields are in
 * the library's order. */
#ifndef ARM_NNFUNCTIONS_H
#define ARM_NNFUNCTIONS_H
#include <stdint.h>
typedef struct { void *buf; int32_t size; } cmsis_nn_context;
typedef struct { int32_t n, h, w, c; } cmsis_nn_dims;
typedef struct { int32_t w, h; } cmsis_nn_tile;
typedef struct { int32_t min, max; } cmsis_nn_activation;
typedef struct {
    int32_t input_offset, output_offset;
    cmsis_nn_tile stride, padding, dilation;
    cmsis_nn_activation activation;
} cmsis_nn_conv_params;
typedef struct { int32_t *multiplier, *shift; } cmsis_nn_per_channel_quant_params;
typedef int arm_cmsis_nn_status;

static int32_t stand_in_scaled(int64_t x, int32_t multiplier, int32_t shift) {
    const int32_t left = shift > 0 ? shift : 0, right = shift > 0 ? 0 : -shift;
    const int64_t twice = x * ((int64_t)1 << left) * multiplier;
    const int64_t high = (twice + ((int64_t)1 << 30)) >> 31;
    const int64_t half = right ? (int64_t)1 << (right - 1) : 0;
    return (int32_t)(high >= 0 ? (high + half) >> right : -((-high + half) >> right));
}

static arm_cmsis_nn_status arm_convolve_s8(
    const cmsis_nn_context *ctx, const cmsis_nn_conv_params *p,
    const cmsis_nn_per_channel_quant_params *quant, const cmsis_nn_dims *in, const int8_t *x,
    const cmsis_nn_dims *filter, const int8_t *weight, const cmsis_nn_dims *bias_dims,
    const int32_t *bias, const cmsis_nn_dims *upscale, const cmsis_nn_dims *out, int8_t *y) {
    (void)bias_dims;
    (void)upscale;
    if (ctx->size < 4 * filter->w * in->c) {
        return -1;
    }
    for (int32_t t = 0; t < out->w; t++) {
        for (int32_t o = 0; o < out->c; o++) {
            int32_t sum = bias[o];
            for (int32_t k = 0; k < filter->w; k++) {
                const int8_t *row = x + (t * p->stride.w + k * p->dilation.w) * in->c;
                for (int32_t c = 0; c < in->c; c++) {
                    sum += (row[c] + p->input_offset) * weight[(o * filter->w + k) * in->c + c];
                }
            }
            sum = stand_in_scaled(sum, quant->multiplier[o], quant->shift[o]) + p->output_offset;
            sum = sum < p->activation.min ? p->activation.min : sum;
            *y++ = (int8_t)(sum > p->activation.max ? p->activation.max : sum);
        }
    }
    return 0;
}
#endif
