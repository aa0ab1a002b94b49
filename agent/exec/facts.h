/* SPDX-License-Identifier: Apache-2.0
 *
 * How the readers of lines (exec/capture.h) gather what they find. Internal to exec/. */
#ifndef EXEC_FACTS_H
#define EXEC_FACTS_H

#include "exec/capture.h"

struct exec_text { /* borrowed characters, read from the front */
    const char *at;
    size_t size;
};

/* What is known of the step that lines are about. */
struct exec_place {
    bool known;
    uint64_t epoch;
    uint64_t epochs; /* 0: not told */
};

/* Consumes prefix where it stands at the front. */
bool exec_text_take(struct exec_text *text, const char *prefix);
/* Moves behind the first occurrence of word; false, and unmoved, where there is none. */
bool exec_text_find(struct exec_text *text, const char *word);
bool exec_text_u64(struct exec_text *text, uint64_t *out);
/* [+-] digits [. digits] [e [+-] digits], also ".5" and "5."; nan, inf and infinity in any case.
 * What follows must not be a letter, a digit or "_", unless it is "%". */
bool exec_text_number(struct exec_text *text, double *out);

void exec_facts_metric(struct exec_facts *facts, const char *name, size_t name_size, double value,
                       const struct exec_place *place);
void exec_facts_prediction(struct exec_facts *facts, double value);
/* Left out where it is not 0 <= done <= total. */
void exec_facts_progress(struct exec_facts *facts, double done, double total);
void exec_facts_checkpoint(struct exec_facts *facts, const char *path);
void exec_facts_ready(struct exec_facts *facts);

/* An object of capture.h's kind. */
void exec_record_read(struct exec_text text, struct exec_facts *out);
/* Lines of well-known programs; the place moves with the epochs that they tell. */
void exec_programs_read(struct exec_text text, unsigned presets, bool redraw,
                        struct exec_place *place, struct exec_facts *out);

#endif
