/* Packets of the AcuLa link, framed as they are written: header, payload, CRC-32 and COBS in one
 * pass over the caller's buffer.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "acula_link.h"

#include <string.h>

enum { INFO = 1, AUDIO = 2, SYNC = 3, EVENT = 4, RESULT = 5 };
enum { CODEC_NONE = 0 };
enum { COBS_FULL = 255 };

const uint8_t acula_link_host_start[ACULA_LINK_HOST_BYTES] = {
    0x03, 0x01, 0x04, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01,
    0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x02, 0x05,
    0x02, 0x01, 0x01, 0x01, 0x01, 0x05, 0x3B, 0xD9, 0x3A, 0x31, 0x00,
};
const uint8_t acula_link_host_stop[ACULA_LINK_HOST_BYTES] = {
    0x03, 0x01, 0x04, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01,
    0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x02, 0x05,
    0x02, 0x02, 0x01, 0x01, 0x01, 0x05, 0xEB, 0xA3, 0x9A, 0x76, 0x00,
};

/* --- bytes to a frame ------------------------------------------------------------------------ */

/* A frame in the making: `code_at` is where the length of the open COBS block goes. */
typedef struct {
    uint8_t *frame;
    size_t capacity;
    size_t at;
    size_t code_at;
    unsigned code;
    uint32_t crc;
} writer;

/* CRC-32 of Ethernet and zlib (reflected 0xEDB88320), four bits at a time. */
static const uint32_t crc_table[16] = {
    0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u,
    0x4DB26158u, 0x5005713Cu, 0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu,
    0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
};

static uint32_t crc_byte(uint32_t crc, uint8_t byte) {
    crc ^= byte;
    crc = (crc >> 4) ^ crc_table[crc & 15u];
    return (crc >> 4) ^ crc_table[crc & 15u];
}

/* Past the end of the buffer only the count goes on, by which finish() knows. */
static void store(writer *w, size_t at, unsigned byte) {
    if (at < w->capacity) {
        w->frame[at] = (uint8_t)byte;
    }
}

static void close_block(writer *w) {
    store(w, w->code_at, w->code);
    w->code_at = w->at;
    w->at += 1;
    w->code = 1;
}

static void stuff(writer *w, uint8_t byte) {
    /* Closed here and not when it fills up: a full block at the very end takes no code after it. */
    if (w->code == COBS_FULL) {
        close_block(w);
    }
    if (byte == 0) {
        close_block(w);
        return;
    }
    store(w, w->at, byte);
    w->at += 1;
    w->code += 1;
}

static void put(writer *w, uint8_t byte) {
    w->crc = crc_byte(w->crc, byte);
    stuff(w, byte);
}

static void put_bytes(writer *w, const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        put(w, bytes[i]);
    }
}

static void put_number(writer *w, uint64_t number, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++) {
        put(w, (uint8_t)(number >> (8u * i)));
    }
}

static writer begin(const acula_link *link, unsigned type, unsigned codec, uint64_t index,
                    size_t payload, uint8_t *frame, size_t capacity) {
    writer w = {frame, capacity, 1, 0, 1, 0xFFFFFFFFu};
    put(&w, ACULA_LINK_VERSION);
    put(&w, (uint8_t)type);
    put(&w, (uint8_t)codec);
    put(&w, 0); /* flags */
    put_number(&w, link->device, 4);
    put_number(&w, link->sequence, 4);
    put_number(&w, index, 8);
    put_number(&w, payload, 2);
    return w;
}

/* Adds CRC and delimiter. Returns the frame's bytes, or 0 where it did not fit. */
static size_t finish(writer *w, acula_link *link) {
    uint32_t crc = w->crc ^ 0xFFFFFFFFu;
    for (unsigned i = 0; i < 4; i++) {
        stuff(w, (uint8_t)(crc >> (8u * i)));
    }
    store(w, w->code_at, w->code);
    store(w, w->at, 0);
    w->at += 1;
    if (w->at > w->capacity) {
        return 0;
    }
    link->sequence += 1;
    return w->at;
}

/* --- packets --------------------------------------------------------------------------------- */

void acula_link_begin(acula_link *link, uint32_t device) {
    link->device = device;
    link->sequence = 0;
    link->predictor = 0;
    link->step_index = 0;
}

size_t acula_link_info(acula_link *link, uint64_t captured, const acula_link_device *device,
                       uint8_t *frame, size_t capacity) {
    size_t name = strlen(device->name);
    if (name > ACULA_LINK_MAX_NAME || device->findings > ACULA_LINK_MAX_FINDINGS) {
        return 0;
    }
    writer w = begin(link, INFO, CODEC_NONE, captured, 40u + name, frame, capacity);
    put_number(&w, device->rate, 4);
    put_number(&w, device->hop, 2);
    put(&w, device->codec);
    put(&w, device->findings);
    for (unsigned i = 0; i < 32; i++) {
        put(&w, device->model ? device->model[i] : 0);
    }
    put_bytes(&w, (const uint8_t *)device->name, name);
    return finish(&w, link);
}

size_t acula_link_sync(acula_link *link, uint64_t captured, uint64_t ticks, uint32_t tick_rate,
                       uint8_t *frame, size_t capacity) {
    writer w = begin(link, SYNC, CODEC_NONE, captured, 12, frame, capacity);
    put_number(&w, ticks, 8);
    put_number(&w, tick_rate, 4);
    return finish(&w, link);
}

size_t acula_link_event(acula_link *link, uint64_t captured, uint8_t code, uint32_t value,
                        uint8_t *frame, size_t capacity) {
    writer w = begin(link, EVENT, CODEC_NONE, captured, 5, frame, capacity);
    put(&w, code);
    put_number(&w, value, 4);
    return finish(&w, link);
}

size_t acula_link_result(acula_link *link, uint64_t captured, const acula_link_scores *scores,
                         uint8_t *frame, size_t capacity) {
    if (scores->findings > ACULA_LINK_MAX_FINDINGS) {
        return 0;
    }
    size_t payload = 12u + 4u * (size_t)scores->findings;
    writer w = begin(link, RESULT, CODEC_NONE, captured, payload, frame, capacity);
    put_number(&w, scores->hop, 4);
    put_number(&w, scores->active, 4);
    put_number(&w, scores->reasons, 2);
    put(&w, scores->quality);
    put(&w, scores->findings);
    for (unsigned k = 0; k < scores->findings; k++) {
        uint32_t bits;
        memcpy(&bits, &scores->probability[k], sizeof bits);
        put_number(&w, bits, 4);
    }
    return finish(&w, link);
}

size_t acula_link_pcm16(acula_link *link, uint64_t first, const int16_t *pcm, size_t samples,
                        uint8_t *frame, size_t capacity) {
    if (samples == 0 || samples > ACULA_LINK_MAX_PCM16) {
        return 0;
    }
    writer w = begin(link, AUDIO, ACULA_LINK_PCM16, first, 2 * samples, frame, capacity);
    for (size_t i = 0; i < samples; i++) {
        put_number(&w, (uint16_t)pcm[i], 2);
    }
    return finish(&w, link);
}

/* --- IMA ADPCM ------------------------------------------------------------------------------- */

static const int16_t steps[89] = {
    7,     8,     9,     10,    11,    12,    13,    14,    16,    17,    19,    21,    23,
    25,    28,    31,    34,    37,    41,    45,    50,    55,    60,    66,    73,    80,
    88,    97,    107,   118,   130,   143,   157,   173,   190,   209,   230,   253,   279,
    307,   337,   371,   408,   449,   494,   544,   598,   658,   724,   796,   876,   963,
    1060,  1166,  1282,  1411,  1552,  1707,  1878,  2066,  2272,  2499,  2749,  3024,  3327,
    3660,  4026,  4428,  4871,  5358,  5894,  6484,  7132,  7845,  8630,  9493,  10442, 11487,
    12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794, 32767,
};
static const int8_t moves[8] = {-1, -1, -1, -1, 2, 4, 6, 8};

static int32_t clamp(int32_t value, int32_t low, int32_t high) {
    return value < low ? low : value > high ? high : value;
}

/* Four bits for a sample; predictor and step index become what the decoder's will be. */
static unsigned adpcm_code(int32_t *predictor, int32_t *step_index, int32_t sample) {
    int32_t step = steps[*step_index];
    int32_t left = sample - *predictor;
    int32_t change = step >> 3;
    unsigned code = 0;
    if (left < 0) {
        code = 8;
        left = -left;
    }
    for (unsigned bit = 4; bit != 0; bit >>= 1) {
        if (left >= step) {
            code |= bit;
            left -= step;
            change += step;
        }
        step >>= 1;
    }
    *predictor = clamp(*predictor + (code & 8u ? -change : change), -32768, 32767);
    *step_index = clamp(*step_index + moves[code & 7u], 0, 88);
    return code;
}

size_t acula_link_adpcm(acula_link *link, uint64_t first, const int16_t *pcm, size_t samples,
                        uint8_t *frame, size_t capacity) {
    if (samples == 0 || samples > ACULA_LINK_MAX_ADPCM) {
        return 0;
    }
    int32_t predictor = link->predictor;
    int32_t step_index = link->step_index;
    size_t payload = 4u + (samples + 1u) / 2u;
    writer w = begin(link, AUDIO, ACULA_LINK_ADPCM, first, payload, frame, capacity);
    put_number(&w, (uint16_t)predictor, 2);
    put(&w, (uint8_t)step_index);
    put(&w, (uint8_t)(samples & 1u));
    for (size_t i = 0; i < samples; i += 2) {
        unsigned low = adpcm_code(&predictor, &step_index, pcm[i]);
        unsigned high = 0;
        if (i + 1 < samples) {
            high = adpcm_code(&predictor, &step_index, pcm[i + 1]);
        }
        put(&w, (uint8_t)(low | high << 4));
    }
    size_t bytes = finish(&w, link);
    if (bytes != 0) {
        link->predictor = predictor;
        link->step_index = step_index;
    }
    return bytes;
}
