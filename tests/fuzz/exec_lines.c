/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as what a command prints: the first chooses the channel and how the stream is cut.
 * Lines are harmless, facts are within what their header promises. */
#include "base/text.h"
#include "exec/capture.h"
#include "exec/lines.h"

#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct exec_capture *capture;
    enum exec_channel channel;
};

static void look(void *context, unsigned flags, char *text, size_t size)
{
    static struct exec_facts facts;
    const struct run *run = context;
    SH_CHECK_CMP(strlen(text), ==, size);
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)text[i];
        SH_CHECK(c >= 0x20 || c == '\t');
        SH_CHECK(c != 0x7f);
    }
    SH_CHECK_CMP(sh_text_clean(text, size), ==, size); /* nothing is left to clean */
    exec_capture_line(run->capture, run->channel, flags, text, size, &facts);
    SH_CHECK(SH_IMPLIES(facts.malformed, facts.count == 0));
    SH_CHECK_CMP(strlen(facts.checkpoint), <, EXEC_PATH_BYTES);
    for (size_t i = 0; i < facts.count; i++) {
        const struct exec_fact *fact = &facts.at[i];
        SH_CHECK(isfinite(fact->value));
        SH_CHECK(SH_IMPLIES(fact->kind == EXEC_FACT_METRIC, fact->name[0] != 0));
        SH_CHECK(SH_IMPLIES(fact->kind == EXEC_FACT_CHECKPOINT, facts.checkpoint[0] != 0));
        if (fact->kind == EXEC_FACT_PROGRESS) {
            SH_CHECK(fact->value >= 0);
            SH_CHECK(fact->value <= fact->total);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char buffer[EXEC_LINE_BYTES_MAX + 1];
    static const struct exec_pattern PATTERNS[] = {
        {.kind = EXEC_PATTERN_METRIC, .text = "acc=([0-9.eE+-]+)", .name = "acc"},
        {.kind = EXEC_PATTERN_PREDICTION, .text = "answer: ?-?[0-9]+"},
        {.kind = EXEC_PATTERN_ABORT, .literal = true, .text = "loss: nan - val_loss: nan"}};
    char why[EXEC_TEXT_BYTES];
    struct run run = {0};
    struct exec_lines lines;
    if (size == 0) {
        return 0;
    }
    SH_CHECK(exec_capture_open(&run.capture, PATTERNS, SH_COUNT(PATTERNS), EXEC_PRESET_ALL, why,
                               sizeof why) == SH_OK);
    run.channel = (enum exec_channel)(data[0] % EXEC_CHANNELS);
    exec_lines_init(&lines, buffer);
    const char *text = (const char *)data + 1;
    const size_t first = (size - 1) / (1 + data[0] / EXEC_CHANNELS);
    exec_lines_push(&lines, text, first, look, &run);
    exec_lines_push(&lines, text + first, size - 1 - first, look, &run);
    exec_lines_end(&lines, look, &run);
    exec_capture_close(run.capture);
    return 0;
}
