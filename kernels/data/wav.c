/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/data/wav.h"

#include "kernels/data/dataset_internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    RIFF_BYTES = 12,      /* "RIFF" size "WAVE" */
    CHUNK_BYTES = 8,      /* name and size before each chunk */
    FORMAT_BYTES = 16,    /* of a "fmt " chunk at least */
    FORMAT_EXTENDED = 40, /* of one whose format stands in its extension */
    FORMAT_PCM = 1,
    FORMAT_IN_EXTENSION = 0xFFFE
};

struct format {
    uint32_t code;
    uint32_t channels;
    uint32_t rate;
    uint32_t bits;
};

static uint32_t read_u16(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

static uint32_t read_u32(const uint8_t *at)
{
    return read_u16(at) | read_u16(at + 2) << 16;
}

bool kn_wav_known(const uint8_t *bytes, size_t size)
{
    return size >= RIFF_BYTES && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WAVE", 4) == 0;
}

void kn_wav_close(struct kn_wav *wav)
{
    free(wav->sample);
    *wav = (struct kn_wav){0};
}

/* The contents of the first chunk of that name. */
static enum kn_err chunk_find(const uint8_t *bytes, size_t size, const char *chunk,
                              const uint8_t **at, uint32_t *length, const char *name,
                              struct kn_diag *diag)
{
    size_t place = RIFF_BYTES;
    while (size - place >= CHUNK_BYTES) {
        const uint8_t *head = bytes + place;
        const size_t left = size - place - CHUNK_BYTES;
        const uint32_t said = read_u32(head + 4);
        const bool found = memcmp(head, chunk, 4) == 0;
        if (said > left) {
            struct kn_quote quote = kn_quote_make((const char *)head, 4);
            return kn_fail(diag, KN_ERR_CORRUPT,
                           "%s: chunk \"%s\" at byte %zu: its size is %u, %zu bytes are left: the "
                           "file was cut short",
                           kn_path_tail(name), quote.text, place, said, left);
        }
        if (found) {
            *at = head + CHUNK_BYTES;
            *length = said;
            return KN_OK;
        }
        const size_t whole = (size_t)said + (said & 1u); /* chunks begin at even places */
        place += CHUNK_BYTES + (whole < left ? whole : left);
    }
    return kn_fail(diag, KN_ERR_CORRUPT, "%s: no chunk \"%s\": not a WAV file of samples",
                   kn_path_tail(name), chunk);
}

static enum kn_err format_read(struct format *f, const uint8_t *at, uint32_t length,
                               const char *name, struct kn_diag *diag)
{
    if (length < FORMAT_BYTES) {
        return kn_fail(diag, KN_ERR_CORRUPT, "%s: chunk \"fmt \" has %u bytes, at least %d are due",
                       kn_path_tail(name), length, FORMAT_BYTES);
    }
    *f = (struct format){.code = read_u16(at),
                         .channels = read_u16(at + 2),
                         .rate = read_u32(at + 4),
                         .bits = read_u16(at + 14)};
    if (f->code == FORMAT_IN_EXTENSION && length >= FORMAT_EXTENDED) {
        f->code = read_u16(at + 24);
    }
    if (f->code != FORMAT_PCM) {
        return kn_fail(diag, KN_ERR_CORRUPT,
                       "%s: format %u, only 1 (PCM without compression) can be read",
                       kn_path_tail(name), f->code);
    }
    if (f->channels != 1) {
        return kn_fail(diag, KN_ERR_CORRUPT, "%s: %u channels, only 1 (mono) can be read",
                       kn_path_tail(name), f->channels);
    }
    if (f->bits != 8 && f->bits != 16) {
        return kn_fail(diag, KN_ERR_CORRUPT, "%s: %u bits a sample, only 8 and 16 can be read",
                       kn_path_tail(name), f->bits);
    }
    if (f->rate < KN_WAV_RATE_MIN || f->rate > KN_WAV_RATE_MAX) {
        return kn_fail(diag, KN_ERR_CORRUPT, "%s: rate %u Hz, only %u to %u can be read",
                       kn_path_tail(name), f->rate, KN_WAV_RATE_MIN, KN_WAV_RATE_MAX);
    }
    return KN_OK;
}

static void samples_read(struct kn_wav *wav, const struct format *f, const uint8_t *at)
{
    for (uint32_t i = 0; i < wav->count; i++) {
        if (f->bits == 8) {
            wav->sample[i] = (float)((int32_t)at[i] - 128) / 128.0f;
        } else {
            const int32_t raw = (int32_t)read_u16(at + 2 * (size_t)i);
            wav->sample[i] = (float)(raw < 0x8000 ? raw : raw - 0x10000) / 32768.0f;
        }
    }
}

enum kn_err kn_wav_decode(struct kn_wav *wav, const uint8_t *bytes, size_t size, const char *name,
                          struct kn_diag *diag)
{
    struct format f = {0};
    const uint8_t *at = NULL;
    uint32_t length = 0;
    *wav = (struct kn_wav){0};
    if (!kn_wav_known(bytes, size)) {
        return kn_fail(diag, KN_ERR_CORRUPT, "%s: does not begin with RIFF and WAVE: no WAV file",
                       kn_path_tail(name));
    }
    enum kn_err err = chunk_find(bytes, size, "fmt ", &at, &length, name, diag);
    err = err == KN_OK ? format_read(&f, at, length, name, diag) : err;
    err = err == KN_OK ? chunk_find(bytes, size, "data", &at, &length, name, diag) : err;
    if (err != KN_OK) {
        return err;
    }
    const uint32_t width = f.bits / 8;
    if (length < width || length % width != 0) {
        return kn_fail(diag, KN_ERR_CORRUPT,
                       "%s: chunk \"data\" has %u bytes; samples of %u bytes are due, at least one",
                       kn_path_tail(name), length, width);
    }
    if (length / width > KN_WAV_SAMPLES_MAX) {
        return kn_fail(diag, KN_ERR_LIMIT, "%s: %u samples, at most %u can be read",
                       kn_path_tail(name), length / width, KN_WAV_SAMPLES_MAX);
    }
    wav->sample = malloc(length / width * sizeof *wav->sample);
    if (wav->sample == NULL) {
        return kn_fail(diag, KN_ERR_MEMORY, "%s: no memory for %u samples", kn_path_tail(name),
                       length / width);
    }
    wav->rate = f.rate;
    wav->count = length / width;
    samples_read(wav, &f, at);
    return KN_OK;
}
