/* SPDX-License-Identifier: Apache-2.0
 *
 * How samples are read that are neither pictures nor rows: its JSON, and as the kernels take it. */
#ifndef SPEC_READING_H
#define SPEC_READING_H

#include "kernels/data/data.h"
#include "spec/json.h"
#include "spec/spec.h"

/* {"audio": {...}}, {"text": {...}}, or {} for pictures and tables; given. */
json_t *spec_reading_json(const struct spec_reading *reading);
/* The inverse. False: text says something else. */
bool spec_reading_parse(const char *text, size_t size, struct spec_reading *reading);
/* As kn_open takes it; false: the samples are no recordings. */
bool spec_reading_audio(const struct spec_reading *reading, struct kn_audio *out);
/* Likewise; false: they are no text. */
bool spec_reading_text(const struct spec_reading *reading, struct kn_text *out);

#endif
