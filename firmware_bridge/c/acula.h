/* The public interface: push sound, poll results, finish with an exam.
 *
 * One instance lives in an arena that the caller owns; nothing is allocated and nothing is global
 * but constants. An instance is used from one thread at a time; several instances are independent.
 *
 *     static union { double align; uint8_t bytes[ACULA_ARENA_BYTES]; } arena;
 *     acula *listener;
 *     acula_init(&listener, arena.bytes, sizeof arena.bytes);
 *     for (;;) {
 *         size_t used = 0;
 *         while (used < count) {
 *             size_t taken;
 *             acula_push(listener, pcm + used, count - used, &taken);
 *             used += taken;
 *             while (acula_poll(listener, &result)) { ... }
 *         }
 *     }
 *
 * Research use only: not a medical device. SPDX-License-Identifier: Apache-2.0 */
#ifndef ACULA_H
#define ACULA_H

#include <stddef.h>
#include <stdint.h>

#include "acula_model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Version of this interface: raised when a structure or a function changes. */
#define ACULA_API 1

typedef enum {
    ACULA_OK = 0,
    ACULA_BAD_ARGUMENT = 1,    /* a null pointer */
    ACULA_ARENA_TOO_SMALL = 2, /* fewer than ACULA_ARENA_BYTES */
    ACULA_ARENA_UNALIGNED = 3, /* not a multiple of ACULA_ARENA_ALIGN */
    ACULA_FINISHED = 4         /* the exam was given; acula_reset starts another */
} acula_status;

/* May the sound of a hop be interpreted? */
typedef enum { ACULA_QUALITY_OK = 0, ACULA_QUALITY_WARN = 1, ACULA_QUALITY_REFUSE = 2 } acula_quality;

/* Why not, as bits. Mains hum, a wrong sampling rate and a missing heartbeat need a longer memory
 * than a microcontroller has: only the host's gate sees them. */
#define ACULA_REASON_NO_CONTACT 1u /* silence for three seconds: refused */
#define ACULA_REASON_STUCK 2u      /* one value throughout, and not zero: refused */
#define ACULA_REASON_CLIPPED 4u    /* a warning, refused from a tenth of the samples on */
#define ACULA_REASON_GAP 8u        /* samples were lost within the last second: a warning */

typedef enum { ACULA_ABSENT = 0, ACULA_PRESENT = 1, ACULA_UNSURE = 2 } acula_decision;

/* What one hop said: ACULA_HOP samples, K findings, S steps, P cardiac phases, E dimensions.
 *
 * Logits are before calibration; they are given for refused hops too, and mean nothing there. */
typedef struct {
    uint64_t start; /* sample index of the hop's first sample, lost samples included */
    uint32_t hop;   /* hops scored before this one */
    uint8_t quality;                   /* acula_quality */
    uint8_t reasons;                   /* ACULA_REASON_... */
    uint8_t active[ACULA_FINDINGS];    /* 1 while the finding is on; 0 in refused hops */
    float scores[ACULA_FINDINGS];      /* logits of the hop: mean over its steps */
    float step_scores[ACULA_FINDINGS][ACULA_STEPS];
#if ACULA_PHASES > 0
    float phases[ACULA_PHASES][ACULA_STEPS]; /* logits */
#endif
    float embedding[ACULA_EMBEDDING];   /* only its direction counts */
    double probability[ACULA_FINDINGS]; /* smoothed and calibrated; 0 in refused hops */
} acula_result;

/* The summary of everything since acula_init or acula_reset. */
typedef struct {
    double probability[ACULA_FINDINGS]; /* pooled and calibrated; -1 where no hop was usable */
    uint8_t decision[ACULA_FINDINGS];   /* acula_decision */
    uint8_t abstained;                  /* 1: too little usable sound, every decision is unsure */
    uint32_t evidence_hops;
    uint32_t refused_hops;
} acula_exam;

typedef struct acula acula;

/* Name and version of the model, and SHA-256 of its ONNX graph in hexadecimal. */
extern const char acula_model_name[];
extern const char acula_model_version[];
extern const char acula_model_sha256[];

/* Names of the findings and cardiac phases, in the order of the results. */
extern const char *const acula_finding_names[ACULA_FINDINGS];
#if ACULA_PHASES > 0
extern const char *const acula_phase_names[ACULA_PHASES];
#endif

/* Start an instance in `arena`, `bytes` long, aligned to ACULA_ARENA_ALIGN. `*self` points into
 * it. The arena's former content does not matter. */
acula_status acula_init(acula **self, void *arena, size_t bytes);

/* Take up to `count` samples at ACULA_RATE; `*consumed` says how many. Fewer than `count` are
 * taken when they completed a hop: poll it, then push the rest. A hop is computed here, at once. */
acula_status acula_push(acula *self, const int16_t *pcm, size_t count, size_t *consumed);

/* 1: a hop was scored since the last poll, and `*result` is it. 0: there is none. */
int acula_poll(acula *self, acula_result *result);

/* `samples` were lost before the next push: the hop in progress is dropped, the network starts
 * from its zero state, smoothing and switches restart. The exam goes on. */
acula_status acula_lost(acula *self, uint32_t samples);

/* End the sound. Less than one hop is not scored. Further pushes are refused. A second call gives
 * the same exam. */
acula_status acula_finish(acula *self, acula_exam *exam);

/* Start again from nothing, for another exam. */
void acula_reset(acula *self);

#ifdef __cplusplus
}
#endif

#endif
