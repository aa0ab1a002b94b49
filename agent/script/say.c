/* SPDX-License-Identifier: Apache-2.0 */
#include "script/say.h"

#include "exec/capture.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(2 * SPEC_PATTERNS_MAX <= EXEC_PATTERNS_MAX,
               "a capture takes as many patterns as a job file may have");

struct script_say {
    struct script_console *console;
    char prefix[16]; /* of the names of series */
    struct exec_capture *capture;
    unsigned presets;
    size_t pattern_count;
    struct exec_pattern patterns[2 * SPEC_PATTERNS_MAX];
    char names[SPEC_PATTERNS_MAX][EXEC_NAME_BYTES];
    /* Of the reader's thread. */
    bool first;
    uint64_t count; /* of points that name no step, and predictions */
    struct exec_facts facts;
    pthread_mutex_t lock; /* what follows */
    uint64_t step;
    uint32_t permille; /* of the work */
    bool checkpoint;
    const char *metric; /* constant */
    bool scored;
    double score;
};

static unsigned presets_of(uint32_t extract)
{
    unsigned presets = 0;
    presets |= (extract & SPEC_EXTRACT_KERAS) != 0 ? EXEC_PRESET_KERAS : 0;
    presets |= (extract & SPEC_EXTRACT_SOFE) != 0 ? EXEC_PRESET_SOFE : 0;
    presets |= (extract & SPEC_EXTRACT_MLAGENTS) != 0 ? EXEC_PRESET_MLAGENTS : 0;
    presets |= (extract & SPEC_EXTRACT_CONDUCTOR) != 0 ? EXEC_PRESET_CONDUCTOR : 0;
    return presets;
}

/* "NAME=ERE" as in the job. */
static void take_patterns(struct script_say *say, const struct spec_exec *exec)
{
    for (uint32_t i = 0; i < exec->patterns.count; i++) {
        const char *pair = spec_word(exec, exec->patterns, i);
        size_t n = strcspn(pair, "=");
        (void)snprintf(say->names[i], sizeof say->names[i], "%.*s", (int)n, pair);
        say->patterns[say->pattern_count++] = (struct exec_pattern){
            .kind = EXEC_PATTERN_METRIC, .text = pair + n + 1, .name = say->names[i]};
    }
    for (uint32_t i = 0; i < exec->abort.count; i++) {
        say->patterns[say->pattern_count++] = (struct exec_pattern){
            .kind = EXEC_PATTERN_ABORT, .text = spec_word(exec, exec->abort, i)};
    }
}

enum sh_err script_say_set(struct script_say *say, const struct script_about *about, char *why,
                           size_t size)
{
    const struct spec_job *job = about->job;
    SH_CHECK(say->pattern_count == 0);
    say->metric = about->metric;
    if (job->units > 1) {
        (void)snprintf(say->prefix, sizeof say->prefix, "%u/", about->unit);
    }
    say->presets = presets_of(job->exec.extract);
    take_patterns(say, &job->exec);
    return exec_capture_open(&say->capture, say->patterns, say->pattern_count, say->presets, why,
                             size);
}

void script_say_begin(struct script_say *say, bool first, uint64_t step)
{
    say->first = first;
    say->count = 0;
    SH_CHECK(pthread_mutex_lock(&say->lock) == 0);
    say->step = step;
    say->permille = 0;
    say->checkpoint = false;
    say->scored = false;
    SH_CHECK(pthread_mutex_unlock(&say->lock) == 0);
}

static void tell(struct script_say *say, const char *name, uint64_t step, double value)
{
    char whole[SH_NAME_MAX + 1];
    int n = snprintf(whole, sizeof whole, "%s%s", say->prefix, name);
    if (n > 0 && n < (int)sizeof whole) {
        script_console_point(say->console, whole, step, value);
    }
}

static void take_fact(struct script_say *say, const struct exec_fact *fact)
{
    uint64_t step = fact->stepped ? fact->step : say->count;
    switch (fact->kind) {
    case EXEC_FACT_METRIC:
        tell(say, fact->name, step, fact->value);
        break;
    case EXEC_FACT_PROGRESS:
        tell(say, "progress", (uint64_t)fact->value, fact->value / fact->total);
        break;
    case EXEC_FACT_PREDICTION:
        tell(say, "prediction", say->count, fact->value);
        break;
    case EXEC_FACT_CHECKPOINT:
    case EXEC_FACT_READY:
        break;
    }
    SH_CHECK(pthread_mutex_lock(&say->lock) == 0);
    bool of_step = fact->kind == EXEC_FACT_METRIC || fact->kind == EXEC_FACT_CHECKPOINT;
    if (of_step && fact->stepped && fact->step > say->step) {
        say->step = fact->step;
    }
    if (fact->kind == EXEC_FACT_METRIC && strcmp(fact->name, say->metric) == 0 &&
        isfinite(fact->value) != 0) {
        say->scored = true;
        say->score = fact->value;
    }
    if (fact->kind == EXEC_FACT_PROGRESS && fact->total > 0 && fact->value > 0) {
        double part = fact->value / fact->total * 1000;
        say->permille = part < 999 ? (uint32_t)part : 999;
    }
    say->checkpoint = say->checkpoint || fact->kind == EXEC_FACT_CHECKPOINT;
    SH_CHECK(pthread_mutex_unlock(&say->lock) == 0);
}

bool script_say_line(struct script_say *say, enum exec_channel channel, unsigned flags,
                     const char *text, size_t size)
{
    struct exec_facts *facts = &say->facts;
    exec_capture_line(say->capture, channel, flags, text, size, facts);
    bool uncounted = false;
    for (size_t i = 0; i < facts->count && say->first; i++) {
        take_fact(say, &facts->at[i]);
        uncounted = uncounted || facts->at[i].kind == EXEC_FACT_PREDICTION ||
                    (facts->at[i].kind == EXEC_FACT_METRIC && !facts->at[i].stepped);
    }
    say->count += uncounted ? 1 : 0;
    return facts->aborted == NULL;
}

struct script_said script_say_predictions(const struct script_say *say)
{
    struct script_said said = {.count = 0};
    for (size_t i = 0; i < say->facts.count; i++) {
        if (say->facts.at[i].kind == EXEC_FACT_PREDICTION) {
            said.at[said.count++] = say->facts.at[i].value;
        }
    }
    return said;
}

uint64_t script_say_step(struct script_say *say)
{
    SH_CHECK(pthread_mutex_lock(&say->lock) == 0);
    uint64_t step = say->step;
    SH_CHECK(pthread_mutex_unlock(&say->lock) == 0);
    return step;
}

uint32_t script_say_permille(struct script_say *say)
{
    SH_CHECK(pthread_mutex_lock(&say->lock) == 0);
    uint32_t permille = say->permille;
    SH_CHECK(pthread_mutex_unlock(&say->lock) == 0);
    return permille;
}

bool script_say_checkpoint(struct script_say *say)
{
    SH_CHECK(pthread_mutex_lock(&say->lock) == 0);
    bool asked = say->checkpoint;
    say->checkpoint = false;
    SH_CHECK(pthread_mutex_unlock(&say->lock) == 0);
    return asked;
}

bool script_say_score(struct script_say *say, double *score)
{
    SH_CHECK(pthread_mutex_lock(&say->lock) == 0);
    bool scored = say->scored;
    *score = say->score;
    SH_CHECK(pthread_mutex_unlock(&say->lock) == 0);
    return scored;
}

enum sh_err script_say_open(struct script_say **out, struct script_console *console)
{
    struct script_say *say = calloc(1, sizeof *say);
    *out = say;
    if (say == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    say->console = console;
    SH_CHECK(pthread_mutex_init(&say->lock, NULL) == 0);
    return SH_OK;
}

void script_say_close(struct script_say *say)
{
    if (say == NULL) {
        return;
    }
    if (say->capture != NULL) {
        exec_capture_close(say->capture);
    }
    SH_CHECK(pthread_mutex_destroy(&say->lock) == 0);
    free(say);
}
