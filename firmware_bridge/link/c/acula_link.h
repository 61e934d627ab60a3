/* The sending side of the AcuLa link: sound, clock and results as frames for any byte channel.
 *
 * Every acula_link_* function that takes `frame` writes one whole frame, its zero delimiter
 * included, into the caller's buffer and returns how many bytes to send; 0 means that the buffer
 * was too small or an argument was out of range, and then nothing is sent and the sequence does not
 * move. Nothing here allocates, blocks, or keeps a pointer. The specification is the README of
 * firmware_bridge/link.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef ACULA_LINK_H
#define ACULA_LINK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ACULA_LINK_VERSION 1
#define ACULA_LINK_MAX_PAYLOAD 1024u /* bytes */
#define ACULA_LINK_MAX_NAME 63u      /* bytes of UTF-8 */
#define ACULA_LINK_MAX_FINDINGS 32u
#define ACULA_LINK_MAX_PCM16 (ACULA_LINK_MAX_PAYLOAD / 2u)        /* samples */
#define ACULA_LINK_MAX_ADPCM ((ACULA_LINK_MAX_PAYLOAD - 4u) * 2u) /* samples */

/* Bytes of a buffer that holds any frame with a payload of `payload` bytes: header 22, CRC 4, COBS
 * one per 254, delimiter 1. */
#define ACULA_LINK_FRAME_BYTES(payload) ((payload) + 26u + ((payload) + 26u) / 254u + 2u)
#define ACULA_LINK_INFO_BYTES ACULA_LINK_FRAME_BYTES(40u + ACULA_LINK_MAX_NAME)
#define ACULA_LINK_SYNC_BYTES ACULA_LINK_FRAME_BYTES(12u)
#define ACULA_LINK_EVENT_BYTES ACULA_LINK_FRAME_BYTES(5u)
#define ACULA_LINK_RESULT_BYTES(findings) ACULA_LINK_FRAME_BYTES(12u + 4u * (findings))
#define ACULA_LINK_PCM16_BYTES(samples) ACULA_LINK_FRAME_BYTES(2u * (samples))
#define ACULA_LINK_ADPCM_BYTES(samples) ACULA_LINK_FRAME_BYTES(4u + ((samples) + 1u) / 2u)

enum { ACULA_LINK_PCM16 = 1, ACULA_LINK_ADPCM = 2 };

enum {
    ACULA_LINK_START = 1,   /* value: 0 */
    ACULA_LINK_STOP = 2,    /* value: 0; send it three times */
    ACULA_LINK_OVERRUN = 3, /* value: samples the device itself had to drop */
    ACULA_LINK_BUTTON = 4,  /* value: which */
    ACULA_LINK_BATTERY = 5  /* value: percent */
};

/* What a host sends to START and to STOP, byte for byte; acting on them is optional. */
#define ACULA_LINK_HOST_BYTES 33u
extern const uint8_t acula_link_host_start[ACULA_LINK_HOST_BYTES];
extern const uint8_t acula_link_host_stop[ACULA_LINK_HOST_BYTES];

/* One link; acula_link_begin fills it. */
typedef struct {
    uint32_t device;    /* tells devices apart: a serial number or a random number, not 0 */
    uint32_t sequence;  /* of the next packet */
    int32_t predictor;  /* of ADPCM */
    int32_t step_index; /* of ADPCM */
} acula_link;

typedef struct {
    uint32_t rate;           /* nominal, Hz: 500 to 384000 */
    uint16_t hop;            /* samples; 0 without a model */
    uint8_t codec;           /* of AUDIO: ACULA_LINK_PCM16 or ACULA_LINK_ADPCM */
    uint8_t findings;        /* probabilities in a RESULT, at most 32; 0 without a model */
    const uint8_t *model;    /* SHA-256 of the model's ONNX file, 32 bytes; NULL without a model */
    const char *name;        /* UTF-8, at most 63 bytes, ended by a zero */
} acula_link_device;

typedef struct {
    uint32_t hop;             /* index of the hop, from 0 */
    uint32_t active;          /* bit k: finding k is on */
    uint16_t reasons;         /* bits of the table in the README */
    uint8_t quality;          /* 0 ok, 1 warn, 2 refuse */
    uint8_t findings;         /* K, at most 32 */
    const float *probability; /* (K,), 0 to 1 */
} acula_link_scores;

/* Starts a link: sequence 0. `device` tells this device from others on the same channel. */
void acula_link_begin(acula_link *link, uint32_t device);

/* `captured` is how many samples the device has captured since it started. */
size_t acula_link_info(acula_link *link, uint64_t captured, const acula_link_device *device,
                       uint8_t *frame, size_t capacity);
size_t acula_link_sync(acula_link *link, uint64_t captured, uint64_t ticks, uint32_t tick_rate,
                       uint8_t *frame, size_t capacity);
size_t acula_link_event(acula_link *link, uint64_t captured, uint8_t code, uint32_t value,
                        uint8_t *frame, size_t capacity);
size_t acula_link_result(acula_link *link, uint64_t captured, const acula_link_scores *scores,
                         uint8_t *frame, size_t capacity);

/* `first` is the index of pcm[0] among all samples since the device started, those that the device
 * dropped included. */
size_t acula_link_pcm16(acula_link *link, uint64_t first, const int16_t *pcm, size_t samples,
                        uint8_t *frame, size_t capacity);
size_t acula_link_adpcm(acula_link *link, uint64_t first, const int16_t *pcm, size_t samples,
                        uint8_t *frame, size_t capacity);

#ifdef __cplusplus
}
#endif

#endif
