/* The verification harness: plays a script of calls to the model and writes what it answers.
 *
 * script.i32  pairs of little-endian int32: operation, count
 * pcm.i16     the samples that the PUSH operations take, one after another
 * records.bin what the model answered, little-endian, in the order of the fields below:
 *   result    u32 1, then every field of acula_result in the order of put_result
 *   exam      u32 2, then every field of acula_exam in the order of put_exam
 *   refusal   u32 3, u32 index of the operation, u32 status: the model refused it
 *   end       u32 4, u32 calibration ticks, u64 ticks in the model, u32 most ticks of one operation,
 *             u32 stack bytes
 * The record formats are firmware_bridge/verify/records.py's. */
#include <string.h>

#include "acula.h"
#include "acula_model.h"
#include "harness_platform.h"

enum { OP_PUSH = 1, OP_LOST = 2, OP_FINISH = 3, OP_RESET = 4 };
enum { TAG_RESULT = 1, TAG_EXAM = 2, TAG_REFUSAL = 3, TAG_END = 4 };
enum { BLOCK = 1024, RECORD_BYTES = 8192, LOOP = 100000 };
enum { EXIT_OK = 0, EXIT_FILES = 64, EXIT_SCRIPT = 65, EXIT_INIT = 66, EXIT_STALLED = 67 };

typedef struct {
    unsigned char bytes[RECORD_BYTES];
    size_t used;
} record;

typedef struct {
    acula *model;
    int script, pcm, out;
    uint32_t index, worst, spent;
    uint64_t ticks;
    int ok;
} harness;

/* The arena alone counts as the firmware's memory. */
static union {
    double align;
    unsigned char bytes[ACULA_ARENA_BYTES];
} arena;
static HARNESS_DATA int16_t block[BLOCK];
static HARNESS_DATA acula_result result;
static HARNESS_DATA acula_exam exam;
static HARNESS_DATA record out;
static HARNESS_DATA harness self;

static void put(record *to, const void *data, size_t bytes)
{
    if (to->used + bytes <= RECORD_BYTES) {
        memcpy(to->bytes + to->used, data, bytes);
    }
    to->used += bytes;
}

static void put_u32(record *to, uint32_t value)
{
    put(to, &value, sizeof value);
}

static void flush(harness *h, record *from)
{
    h->ok = h->ok && from->used <= RECORD_BYTES && platform_write(h->out, from->bytes, from->used);
    from->used = 0;
}

#define PUT(to, field) put((to), &(field), sizeof(field))

static void put_result(record *to, const acula_result *r)
{
    put_u32(to, TAG_RESULT);
    PUT(to, r->start);
    PUT(to, r->hop);
    PUT(to, r->quality);
    PUT(to, r->reasons);
    PUT(to, r->active);
    PUT(to, r->scores);
    PUT(to, r->step_scores);
#if ACULA_PHASES > 0
    PUT(to, r->phases);
#endif
    PUT(to, r->embedding);
    PUT(to, r->probability);
}

static void put_exam(record *to, const acula_exam *e)
{
    put_u32(to, TAG_EXAM);
    PUT(to, e->probability);
    PUT(to, e->decision);
    PUT(to, e->abstained);
    PUT(to, e->evidence_hops);
    PUT(to, e->refused_hops);
}

static void note_refusal(harness *h, acula_status status)
{
    put_u32(&out, TAG_REFUSAL);
    put_u32(&out, h->index);
    put_u32(&out, (uint32_t)status);
    flush(h, &out);
}

/* Ticks since `start`, added to what this operation has spent. */
static void spend(harness *h, uint32_t start)
{
    uint32_t ticks = (start - platform_ticks()) & 0xFFFFFFUL;

    h->ticks += ticks;
    h->spent += ticks;
}

static int push(harness *h, const int16_t *pcm, size_t count)
{
    size_t consumed = 0;
    uint32_t start;
    acula_status status;
    int scored;

    for (;;) {
        start = platform_ticks();
        status = acula_push(h->model, pcm, count, &consumed);
        scored = status == ACULA_OK && acula_poll(h->model, &result);
        spend(h, start);
        if (status != ACULA_OK) {
            note_refusal(h, status);
            return EXIT_OK;
        }
        if (scored) {
            put_result(&out, &result);
            flush(h, &out);
        }
        pcm += consumed;
        count -= consumed;
        if (count == 0 && !scored) {
            return EXIT_OK;
        }
        if (consumed == 0 && !scored) {
            return EXIT_STALLED;
        }
    }
}

static int play_push(harness *h, uint32_t count)
{
    size_t bytes = count * sizeof(int16_t);

    if (count > BLOCK || platform_read(h->pcm, block, bytes) != bytes) {
        return EXIT_SCRIPT;
    }
    return push(h, block, count);
}

static void play_finish(harness *h)
{
    uint32_t start = platform_ticks();
    acula_status status = acula_finish(h->model, &exam);

    spend(h, start);
    if (status != ACULA_OK) {
        note_refusal(h, status);
        return;
    }
    put_exam(&out, &exam);
    flush(h, &out);
}

static int play(harness *h, uint32_t operation, uint32_t count)
{
    acula_status status;

    switch (operation) {
    case OP_PUSH:
        return play_push(h, count);
    case OP_LOST:
        status = acula_lost(h->model, count);
        if (status != ACULA_OK) {
            note_refusal(h, status);
        }
        return EXIT_OK;
    case OP_FINISH:
        play_finish(h);
        return EXIT_OK;
    case OP_RESET:
        acula_reset(h->model);
        return EXIT_OK;
    default:
        return EXIT_SCRIPT;
    }
}

static int play_script(harness *h)
{
    uint32_t operation[2];
    int code = EXIT_OK;

    while (code == EXIT_OK &&
           platform_read(h->script, operation, sizeof operation) == sizeof operation) {
        h->spent = 0;
        code = play(h, operation[0], operation[1]);
        if (h->spent > h->worst) {
            h->worst = h->spent;
        }
        ++h->index;
    }
    return code;
}

/* Ticks of a loop whose instructions are known: Python checks the clock by it. */
static uint32_t calibrate(void)
{
    uint32_t start = platform_ticks();

    platform_loop(LOOP);
    return (start - platform_ticks()) & 0xFFFFFFUL;
}

static void finish_record(harness *h, uint32_t calibration)
{
    put_u32(&out, TAG_END);
    put_u32(&out, calibration);
    PUT(&out, h->ticks);
    put_u32(&out, h->worst);
    put_u32(&out, platform_stack());
    flush(h, &out);
}

int main(void)
{
    uint32_t calibration;
    int code;

    platform_start();
    self.ok = 1;
    self.script = platform_open("script.i32", PLATFORM_READ);
    self.pcm = platform_open("pcm.i16", PLATFORM_READ);
    self.out = platform_open("records.bin", PLATFORM_WRITE);
    if (self.script < 0 || self.pcm < 0 || self.out < 0) {
        return EXIT_FILES;
    }
    if (acula_init(&self.model, arena.bytes, sizeof arena.bytes) != ACULA_OK) {
        return EXIT_INIT;
    }
    calibration = calibrate();
    code = play_script(&self);
    if (code == EXIT_OK) {
        finish_record(&self, calibration);
    }
    platform_close(self.out);
    platform_close(self.pcm);
    platform_close(self.script);
    return code == EXIT_OK && !self.ok ? EXIT_FILES : code;
}
