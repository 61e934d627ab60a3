/* From logits to answers: the quality gate, smoothing, switches and the exam.
 *
 * The rules of the Python runtime, in the same order of operations. Of its gate, the part that
 * needs no spectrum. SPDX-License-Identifier: Apache-2.0 */
#include "acula_internal.h"

void acula_gate_reset(acula *self) {
    self->heard = self->slot = 0;
    self->block_filled = 0;
    self->block_clips = 0;
}

/* What a hop showed: sums for its power, and facts of the 20 ms blocks that ended in it. */
typedef struct {
    int64_t squares;
    int32_t total;
    uint16_t clipped, checked;
    uint8_t flat; /* every block was one value, and not zero */
} hop_facts;

static hop_facts hear(acula *self) {
    hop_facts facts = {0, 0, 0, 0, 1};
    const int16_t *x = self->pcm + ACULA_HISTORY;
    const int16_t *const end = x + ACULA_HOP;
    while (x < end) {
        uint32_t filled = self->block_filled, clips = self->block_clips;
        const int32_t first = filled ? self->block_first : *x;
        uint32_t other = filled ? self->block_other : first == 0;
        for (; x < end && filled < ACULA_GATE_BLOCK; x++, filled++) {
            const int32_t sample = *x;
            facts.total += sample;
            facts.squares += (int64_t)sample * sample;
            other |= (uint32_t)(sample ^ first);
            clips += sample >= ACULA_CLIP_LEVEL || sample <= -ACULA_CLIP_LEVEL;
        }
        self->block_first = (int16_t)first;
        self->block_other = other != 0;
        self->block_clips = (uint8_t)clips;
        self->block_filled = (uint16_t)filled;
        if (filled == ACULA_GATE_BLOCK) {
            facts.checked = (uint16_t)(facts.checked + ACULA_GATE_BLOCK);
            facts.clipped = (uint16_t)(facts.clipped + clips);
            facts.flat &= other == 0;
            self->block_filled = 0;
            self->block_clips = 0;
        }
    }
    return facts;
}

/* The hop's facts go to the memory; whether it is stuck at one value. */
static int remember(acula *self) {
    const hop_facts facts = hear(self);
    const uint8_t slot = self->slot;
    self->clips[slot] = facts.clipped;
    self->checked[slot] = facts.checked;
    self->powers[slot] = ACULA_HOP * facts.squares - (int64_t)facts.total * facts.total;
    self->slot = (uint8_t)((slot + 1) % ACULA_GATE_HOPS);
    if (self->heard < ACULA_GATE_HOPS) {
        self->heard++;
    }
    return facts.checked > 0 && facts.flat;
}

void acula_gate_judge(acula *self) {
    const int stuck = remember(self);
    uint32_t clipped = 0, checked = 0;
    int64_t loudest = 0;
    for (uint32_t i = 0; i < self->heard; i++) {
        clipped += self->clips[i];
        checked += self->checked[i];
        loudest = self->powers[i] > loudest ? self->powers[i] : loudest;
    }
    unsigned refuse = 0, warn = 0;
    if (stuck) {
        refuse |= ACULA_REASON_STUCK;
    } else if (loudest < ACULA_SILENCE) {
        refuse |= ACULA_REASON_NO_CONTACT;
    }
    self->absent = refuse != 0;
    const double share = (double)clipped / (double)(checked > 0 ? checked : 1);
    if (share >= ACULA_CLIP_REFUSE) {
        refuse |= ACULA_REASON_CLIPPED;
    } else if (share >= ACULA_CLIP_WARN) {
        warn |= ACULA_REASON_CLIPPED;
    }
    if (self->gap_left > 0.0) {
        self->gap_left -= ACULA_HOP_SECONDS;
        warn |= ACULA_REASON_GAP;
    }
    self->result.quality =
        (uint8_t)(refuse ? ACULA_QUALITY_REFUSE : warn ? ACULA_QUALITY_WARN : ACULA_QUALITY_OK);
    self->result.reasons = (uint8_t)(refuse ? refuse : warn);
}

void acula_switches_reset(acula *self) {
    for (uint32_t k = 0; k < ACULA_FINDINGS; k++) {
        self->sum[k] = self->weight[k] = 0.0;
        self->on[k] = self->crossing[k] = 0;
    }
}

static double probability(double logit, const acula_finding *finding) {
    const double value = (logit - finding->bias) / finding->temperature;
    if (value >= 0.0) {
        return 1.0 / (1.0 + acula_exp64(-value));
    }
    const double grown = acula_exp64(value);
    return grown / (1.0 + grown);
}

static void pool(acula *self, uint32_t k, double logit) {
    const double sharpness = acula_findings[k].sharpness;
    if (sharpness == 0.0) {
        self->pooled[k] += logit;
        return;
    }
    const double value = logit * sharpness;
    if (self->evidence == 0) {
        self->peak[k] = value;
        self->pooled[k] = 1.0;
    } else if (value > self->peak[k]) {
        self->pooled[k] = self->pooled[k] * acula_exp64(self->peak[k] - value) + 1.0;
        self->peak[k] = value;
    } else {
        self->pooled[k] += acula_exp64(value - self->peak[k]);
    }
}

/* The smoothed probability of audio [start, end) seconds, and the switch with it. */
static double track(acula *self, uint32_t k, double logit, double start, double end) {
    const acula_finding *finding = &acula_findings[k];
    self->sum[k] = ACULA_SMOOTHING_KEEP * self->sum[k] + logit;
    self->weight[k] = ACULA_SMOOTHING_KEEP * self->weight[k] + 1.0;
    const double value = probability(self->sum[k] / self->weight[k], finding);
    const int crossing = self->on[k] ? value < finding->leave : value >= finding->enter;
    if (!crossing) {
        self->crossing[k] = 0;
        return value;
    }
    if (!self->crossing[k]) {
        self->crossing[k] = 1;
        self->since[k] = start;
    }
    const double wait = self->on[k] ? ACULA_MINIMUM_OFF : ACULA_MINIMUM_ON;
    if (end - self->since[k] >= wait - 1e-9) {
        self->on[k] = !self->on[k];
        self->crossing[k] = 0;
    }
    return value;
}

void acula_decide(acula *self) {
    acula_result *result = &self->result;
    if (result->quality == ACULA_QUALITY_REFUSE) {
        self->refused++;
        acula_switches_reset(self);
        for (uint32_t k = 0; k < ACULA_FINDINGS; k++) {
            result->probability[k] = 0.0;
            result->active[k] = 0;
        }
        return;
    }
    const double before = (double)self->hops_since * ACULA_HOP / ACULA_RATE;
    const double start = (double)self->origin / ACULA_RATE + before;
    const double end = start + ACULA_HOP_SECONDS;
    for (uint32_t k = 0; k < ACULA_FINDINGS; k++) {
        const double logit = (double)result->scores[k];
        pool(self, k, logit);
        result->probability[k] = track(self, k, logit, start, end);
        result->active[k] = self->on[k];
    }
    self->evidence++;
}

void acula_summarise(const acula *self, acula_exam *exam) {
    memset(exam, 0, sizeof *exam);
    exam->evidence_hops = self->evidence;
    exam->refused_hops = self->refused;
    const double evidence = (double)self->evidence * ACULA_HOP_SECONDS;
    exam->abstained = evidence < ACULA_MINIMUM_EVIDENCE || self->refused > self->evidence;
    for (uint32_t k = 0; k < ACULA_FINDINGS; k++) {
        const acula_finding *finding = &acula_findings[k];
        exam->probability[k] = -1.0;
        exam->decision[k] = ACULA_UNSURE;
        if (self->evidence == 0) {
            continue;
        }
        double logit = self->pooled[k] / (double)self->evidence;
        if (finding->sharpness != 0.0) {
            logit = (self->peak[k] + acula_log64(logit)) / finding->sharpness;
        }
        const double value = probability(logit, finding);
        exam->probability[k] = value;
        if (!exam->abstained && value >= finding->present) {
            exam->decision[k] = ACULA_PRESENT;
        } else if (!exam->abstained && value < finding->absent) {
            exam->decision[k] = ACULA_ABSENT;
        }
    }
}
