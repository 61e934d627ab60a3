// Scores sound that a host sends over the serial port, and prints a line per hop (192 ms).
//
// Send 16-bit little-endian PCM at ACULA_RATE, such as golden/pcm.i16, no faster than it is scored.
// For a microphone, replace readSample: low-pass filter before you decimate to ACULA_RATE.
// SPDX-License-Identifier: Apache-2.0
#include <acula.h>

static union {
  double align;
  uint8_t bytes[ACULA_ARENA_BYTES];
} arena;
static acula *listener;
static acula_result result;

void setup() {
  Serial.begin(115200);
  while (!Serial) {
  }
  if (acula_init(&listener, arena.bytes, sizeof arena.bytes) != ACULA_OK) {
    Serial.println("the arena is too small or unaligned");
    for (;;) {
    }
  }
}

// False until both bytes of a sample are there.
static bool readSample(int16_t *sample) {
  if (Serial.available() < 2) {
    return false;
  }
  const uint16_t low = static_cast<uint8_t>(Serial.read());
  const uint16_t high = static_cast<uint8_t>(Serial.read());
  *sample = static_cast<int16_t>(low | (high << 8));
  return true;
}

static void printResult() {
  Serial.print(result.hop);
  for (int k = 0; k < ACULA_FINDINGS; k++) {
    Serial.print(' ');
    Serial.print(acula_finding_names[k]);
    Serial.print('=');
    Serial.print(result.probability[k], 4);
    Serial.print(result.active[k] ? "*" : "");
  }
  Serial.println(result.quality == ACULA_QUALITY_REFUSE ? " refused" : "");
}

void loop() {
  int16_t sample;
  size_t taken;
  if (!readSample(&sample)) {
    return;
  }
  acula_push(listener, &sample, 1, &taken);
  while (acula_poll(listener, &result)) {
    printResult();
  }
}
