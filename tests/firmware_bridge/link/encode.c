/* Test harness: calls the C encoder as a script on stdin says, and writes its frames to stdout.
 *
 * Record in:  op u8, index u64, capacity u32, count u32, count bytes.   Record out: bytes u32, frame.
 * The buffer is allocated at exactly `capacity`, so that a sanitizer sees one byte too many.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acula_link.h"

static void *get(void *to, size_t count) {
    if (count != 0 && fread(to, 1, count, stdin) != count) {
        exit(2);
    }
    return to;
}

static size_t info(acula_link *link, uint64_t index, const uint8_t *data, uint32_t count,
                   uint8_t *frame, size_t capacity) {
    char name[256] = {0};
    acula_link_device device = {0};
    memcpy(&device.rate, data, 4);
    memcpy(&device.hop, data + 4, 2);
    device.codec = data[6];
    device.findings = data[7];
    device.model = data + 8;
    memcpy(name, data + 40, count - 40);
    device.name = name;
    return acula_link_info(link, index, &device, frame, capacity);
}

static size_t result(acula_link *link, uint64_t index, const uint8_t *data, uint8_t *frame,
                     size_t capacity) {
    float probability[256];
    acula_link_scores scores = {0};
    memcpy(&scores.hop, data, 4);
    memcpy(&scores.active, data + 4, 4);
    memcpy(&scores.reasons, data + 8, 2);
    scores.quality = data[10];
    scores.findings = data[11];
    memcpy(probability, data + 12, 4u * (size_t)scores.findings);
    scores.probability = probability;
    return acula_link_result(link, index, &scores, frame, capacity);
}

static size_t encode(acula_link *link, uint8_t op, uint64_t index, const uint8_t *data,
                     uint32_t count, uint8_t *frame, size_t capacity) {
    int16_t pcm[4096];
    uint64_t ticks = 0;
    uint32_t number = 0;
    switch (op) {
    case 1:
        return info(link, index, data, count, frame, capacity);
    case 2:
        memcpy(pcm, data, count);
        return acula_link_pcm16(link, index, pcm, count / 2, frame, capacity);
    case 3:
        memcpy(pcm, data, count);
        return acula_link_adpcm(link, index, pcm, count / 2, frame, capacity);
    case 4:
        memcpy(&ticks, data, 8);
        memcpy(&number, data + 8, 4);
        return acula_link_sync(link, index, ticks, number, frame, capacity);
    case 5:
        memcpy(&number, data + 1, 4);
        return acula_link_event(link, index, data[0], number, frame, capacity);
    default:
        return result(link, index, data, frame, capacity);
    }
}

int main(void) {
    acula_link link;
    int op;
    acula_link_begin(&link, 0x12345678u);
    fwrite(acula_link_host_start, 1, ACULA_LINK_HOST_BYTES, stdout);
    fwrite(acula_link_host_stop, 1, ACULA_LINK_HOST_BYTES, stdout);
    while ((op = getchar()) != EOF) {
        static uint8_t data[8192];
        uint64_t index;
        uint32_t capacity;
        uint32_t count;
        get(&index, sizeof index);
        get(&capacity, sizeof capacity);
        get(&count, sizeof count);
        get(data, count);
        uint8_t *frame = malloc(capacity);
        uint32_t bytes =
            (uint32_t)encode(&link, (uint8_t)op, index, data, count, frame, capacity);
        fwrite(&bytes, sizeof bytes, 1, stdout);
        fwrite(frame, 1, bytes, stdout);
        free(frame);
    }
    return 0;
}
