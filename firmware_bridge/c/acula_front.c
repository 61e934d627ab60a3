/* The front end: a hop of PCM to int8 codes of normalised log band energies, in float32.
 *
 * Power spectra by an in-place real FFT (N/2 complex points, radix 4, last stage radix 2, digits
 * left reversed and read through a table), triangular bands, a floor that follows the sound, own
 * logarithm, causal mean per band. Every sum runs in a fixed order: the reference has the same.
 *
 * With ACULA_USE_CMSIS_DSP the FFT is CMSIS-DSP's: codes may then differ by one step.
 * SPDX-License-Identifier: Apache-2.0 */
#include "acula_internal.h"

#ifdef ACULA_USE_CMSIS_DSP
#include "arm_math.h"
#endif

void acula_front_reset(acula *self) {
    memset(self->pcm, 0, ACULA_HISTORY * sizeof *self->pcm);
    memset(self->means, 0, sizeof self->means);
    self->means_weight = self->level = self->level_weight = 0.0f;
}

#ifndef ACULA_USE_CMSIS_DSP

/* One radix-4 stage over blocks of `length` complex points: the same butterfly of every block
 * shares its twiddles w, w^2, w^3. Returns the twiddles of the next stage. */
static const float *radix4(float *z, uint32_t points, uint32_t length, const float *w) {
    const uint32_t quarter = length / 4; /* points */
    const float *const end = z + 2 * points;
    for (uint32_t j = 0; j < quarter; j++, w += 6) {
        const float w1r = w[0], w1i = w[1], w2r = w[2], w2i = w[3], w3r = w[4], w3i = w[5];
        for (float *a = z + 2 * j; a < end; a += 2 * length) {
            float *const b = a + 2 * quarter, *const c = b + 2 * quarter, *const d = c + 2 * quarter;
            const float sum_r = a[0] + c[0], sum_i = a[1] + c[1];
            const float gap_r = a[0] - c[0], gap_i = a[1] - c[1];
            const float side_r = b[0] + d[0], side_i = b[1] + d[1];
            const float turn_r = b[1] - d[1], turn_i = d[0] - b[0];
            a[0] = sum_r + side_r;
            a[1] = sum_i + side_i;
            float x = gap_r + turn_r, y = gap_i + turn_i;
            b[0] = x * w1r - y * w1i;
            b[1] = x * w1i + y * w1r;
            x = sum_r - side_r;
            y = sum_i - side_i;
            c[0] = x * w2r - y * w2i;
            c[1] = x * w2i + y * w2r;
            x = gap_r - turn_r;
            y = gap_i - turn_i;
            d[0] = x * w3r - y * w3i;
            d[1] = x * w3i + y * w3r;
        }
    }
    return w;
}

static void transform(const acula_spectrum *spectrum, float *z) {
    const uint32_t points = spectrum->points;
    const float *w = spectrum->twiddle;
    for (uint32_t length = points; length > 2; length /= 4) {
        w = radix4(z, points, length, w);
    }
    for (float *a = z; a < z + 2 * points; a += 4) {
        const float r = a[0], i = a[1];
        a[0] = r + a[2];
        a[1] = i + a[3];
        a[2] = r - a[2];
        a[3] = i - a[3];
    }
}

/* 4 |X|^2 of bins 1 to points - 1 from the transform of the even and odd samples. */
static void split(const acula_spectrum *spectrum, const float *z, float *power) {
    const uint32_t points = spectrum->points, half = points / 2;
    const float *turn = spectrum->turn + 2;
    const uint8_t *up = spectrum->place + 1, *down = spectrum->place + points - 1;
    float *low = power + 1, *high = power + points - 1;
    while (low < high) {
        const float *const a = z + 2 * *up++, *const b = z + 2 * *down--;
        const float even_r = a[0] + b[0], even_i = a[1] - b[1];
        const float odd_r = a[1] + b[1], odd_i = b[0] - a[0];
        const float cosine = *turn++, sine = *turn++;
        const float turned_r = cosine * odd_r + sine * odd_i;
        const float turned_i = cosine * odd_i - sine * odd_r;
        const float ur = even_r + turned_r, ui = even_i + turned_i;
        const float vr = even_r - turned_r, vi = even_i - turned_i;
        *low++ = ur * ur + ui * ui;
        *high-- = vr * vr + vi * vi;
    }
    const float *const middle = z + 2 * spectrum->place[half];
    power[half] = 4.0f * (middle[0] * middle[0] + middle[1] * middle[1]);
}

#else

static void transform(const acula_spectrum *spectrum, float *z) {
    (void)spectrum;
    (void)z;
}

/* CMSIS-DSP's packed real FFT, out of place; a second scratch is not needed twice per frame. */
static void split(const acula_spectrum *spectrum, float *z, float *power) {
    float bins[ACULA_LONG_FRAME];
    arm_rfft_fast_instance_f32 fft;
    (void)arm_rfft_fast_init_f32(&fft, (uint16_t)(2 * spectrum->points));
    arm_rfft_fast_f32(&fft, z, bins, 0);
    for (uint32_t k = 1; k < spectrum->points; k++) {
        const float r = bins[2 * k], i = bins[2 * k + 1];
        power[k] = 4.0f * (r * r + i * i);
    }
}

#endif

/* Band energies of one frame of samples, in units of int16 squared. */
static void frame_energies(acula *self, const acula_spectrum *spectrum, const float *x, float *out) {
    float *const z = self->scratch.front.spectrum, *const power = self->scratch.front.power;
    const uint32_t frame = 2u * spectrum->points;
    const float *weight = spectrum->window;
    for (uint32_t i = 0; i < frame; i += 4) {
        z[i] = x[i] * weight[i];
        z[i + 1] = x[i + 1] * weight[i + 1];
        z[i + 2] = x[i + 2] * weight[i + 2];
        z[i + 3] = x[i + 3] * weight[i + 3];
    }
    transform(spectrum, z);
    split(spectrum, z, power);
    weight = spectrum->weight;
    for (uint32_t band = 0; band < spectrum->bands; band++) {
        const float *p = power + spectrum->first[band];
        const float *const end = p + spectrum->count[band];
        float sum = 0.0f;
        while (p < end) {
            sum += *weight++ * *p++;
        }
        out[band] = sum;
    }
}

/* What is added to the energies: so far under the causal mean of their level. */
static float noise_floor(acula *self, const float *energies) {
    float total = 0.0f;
    for (uint32_t band = 0; band < ACULA_LONG_BANDS; band++) {
        total += energies[band];
    }
    const float level = total * ACULA_LEVEL_GAIN + ACULA_POWER_FLOOR;
    self->level = self->level * ACULA_LEVEL_DECAY + level;
    self->level_weight = self->level_weight * ACULA_LEVEL_DECAY + 1.0f;
    return self->level / self->level_weight;
}

static void normalise(acula *self, const float *energies, int8_t *codes) {
    const float lowest = noise_floor(self, energies);
    self->means_weight = self->means_weight * ACULA_MEAN_DECAY + 1.0f;
    const float share = 1.0f / self->means_weight;
    for (uint32_t channel = 0; channel < ACULA_CHANNELS; channel++) {
        const float value = acula_log(energies[channel] + lowest);
        const float sum = self->means[channel] * ACULA_MEAN_DECAY + value;
        self->means[channel] = sum;
        float feature = (value - sum * share) * ACULA_FEATURE_GAIN;
        feature = feature < ACULA_FEATURE_LOW ? ACULA_FEATURE_LOW : feature;
        feature = feature > ACULA_FEATURE_HIGH ? ACULA_FEATURE_HIGH : feature;
        codes[channel] = (int8_t)(acula_round(feature) + ACULA_FEATURE_ZERO);
    }
}

void acula_front_run(acula *self) {
    float *const samples = self->scratch.front.samples;
    float *const energies = self->scratch.front.energies;
    for (uint32_t i = 0; i < ACULA_HISTORY + ACULA_HOP; i++) {
        samples[i] = (float)self->pcm[i];
    }
    for (uint32_t frame = 0; frame < ACULA_FRAMES; frame++) {
        const float *x = samples + frame * ACULA_FRAME_HOP;
        frame_energies(self, &acula_long, x, energies);
#if ACULA_SHORT_FRAME > 0
        x += ACULA_HISTORY - (ACULA_SHORT_FRAME - ACULA_SHORT_HOP);
        for (uint32_t part = 0; part < ACULA_FRAME_HOP / ACULA_SHORT_HOP; part++) {
            float *const out = energies + ACULA_LONG_BANDS + part * ACULA_SHORT_BANDS;
            frame_energies(self, &acula_short, x + part * ACULA_SHORT_HOP, out);
        }
#endif
        normalise(self, energies, self->codes + frame * ACULA_CHANNELS);
    }
    memmove(self->pcm, self->pcm + ACULA_HOP, ACULA_HISTORY * sizeof *self->pcm);
}
