/* A stethoscope in QEMU: sound from the file pcm.i16, results as link packets on the UART.
 *
 * On a real board the sound comes from a microphone's DMA buffer instead; all else stays. INFO says
 * at the start, and every ten seconds again, who is sending. */
#include "acula.h"
#include "acula_link.h"
#include "harness_semihosting.h"
#include "uart.h"

enum { BLOCK = 64, INFO_SECONDS = 10, EXIT_NO_SOUND = 64, EXIT_NO_MODEL = 66 };
enum { READ_BINARY = 1 };
/* Where the link's table of reasons has them (firmware_bridge/link/README.md). */
enum { LINK_NO_CONTACT = 1, LINK_STUCK = 2, LINK_CLIPPED = 4, LINK_GAP = 1 << 11 };

typedef struct {
    acula *model;
    acula_link link;
    acula_link_device about;
    uint64_t heard; /* samples */
    uint8_t sha256[32];
    uint8_t frame[ACULA_LINK_INFO_BYTES + ACULA_LINK_RESULT_BYTES(ACULA_FINDINGS)];
} stethoscope;

static union {
    double align;
    uint8_t bytes[ACULA_ARENA_BYTES];
} arena;
static stethoscope device;
static acula_result result;

static uint8_t nibble(char digit)
{
    if (digit <= '9') {
        return (uint8_t)(digit - '0');
    }
    return (uint8_t)((digit | 0x20) - 'a' + 10);
}

static void send_info(stethoscope *self)
{
    size_t bytes = acula_link_info(&self->link, self->heard, &self->about, self->frame,
                                   sizeof self->frame);

    uart_send(self->frame, bytes);
}

static uint16_t link_reasons(uint8_t reasons)
{
    unsigned bits = 0;

    bits |= reasons & ACULA_REASON_NO_CONTACT ? LINK_NO_CONTACT : 0u;
    bits |= reasons & ACULA_REASON_STUCK ? LINK_STUCK : 0u;
    bits |= reasons & ACULA_REASON_CLIPPED ? LINK_CLIPPED : 0u;
    bits |= reasons & ACULA_REASON_GAP ? LINK_GAP : 0u;
    return (uint16_t)bits;
}

static void send_result(stethoscope *self, const acula_result *from)
{
    float probability[ACULA_FINDINGS];
    acula_link_scores scores = {0};
    int k;

    scores.hop = from->hop;
    scores.quality = from->quality;
    scores.reasons = link_reasons(from->reasons);
    scores.findings = ACULA_FINDINGS;
    scores.probability = probability;
    for (k = 0; k < ACULA_FINDINGS; ++k) {
        probability[k] = (float)from->probability[k];
        scores.active |= (uint32_t)from->active[k] << k;
    }
    uart_send(self->frame, acula_link_result(&self->link, from->start + ACULA_HOP, &scores,
                                             self->frame, sizeof self->frame));
}

static void hear(stethoscope *self, const int16_t *pcm, size_t count)
{
    size_t used = 0;
    size_t taken;

    self->heard += count;
    while (used < count) {
        if (acula_push(self->model, pcm + used, count - used, &taken) != ACULA_OK) {
            return;
        }
        used += taken;
        while (acula_poll(self->model, &result)) {
            send_result(self, &result);
        }
    }
}

static int begin(stethoscope *self)
{
    int i;

    for (i = 0; i < 32; ++i) {
        self->sha256[i] = (uint8_t)(nibble(acula_model_sha256[2 * i]) << 4 |
                                    nibble(acula_model_sha256[2 * i + 1]));
    }
    self->about.rate = ACULA_RATE;
    self->about.hop = ACULA_HOP;
    self->about.codec = ACULA_LINK_PCM16;
    self->about.findings = ACULA_FINDINGS;
    self->about.model = self->sha256;
    self->about.name = "AcuLa example (QEMU)";
    acula_link_begin(&self->link, 0x5173A0DEU); /* a product sends its serial number */
    uart_begin();
    return acula_init(&self->model, arena.bytes, sizeof arena.bytes) == ACULA_OK;
}

int main(void)
{
    int16_t pcm[BLOCK];
    int sound = semihosting_open("pcm.i16", READ_BINARY);
    size_t bytes;
    uint64_t next_info = 0;

    if (sound < 0) {
        return EXIT_NO_SOUND;
    }
    if (!begin(&device)) {
        return EXIT_NO_MODEL;
    }
    while ((bytes = semihosting_read(sound, pcm, sizeof pcm)) >= sizeof pcm[0]) {
        if (device.heard >= next_info) {
            send_info(&device);
            next_info += (uint64_t)INFO_SECONDS * ACULA_RATE;
        }
        hear(&device, pcm, bytes / sizeof pcm[0]);
    }
    semihosting_close(sound);
    return 0;
}
