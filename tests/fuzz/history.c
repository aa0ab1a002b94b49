/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a history of calls; what is read is judged within a small budget. */
#include "lin/history.h"

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { BUDGET = 2000 };
    char error[LIN_ERROR_MAX + 1];
    struct lin_history history;
    struct lin_report report;
    if (lin_history_decode(&history, (const char *)data, size, error) != SH_OK) {
        SH_CHECK(error[0] != '\0' && history.ops == NULL);
        return 0;
    }
    lin_check(history.ops, history.count, history.init, history.step, history.ctx, BUDGET, &report);
    SH_CHECK_CMP(report.states, <=, BUDGET);
    if (report.verdict != LIN_OK) {
        size_t key_size = 0;
        const char *key = lin_history_key(&history, report.key, &key_size);
        SH_CHECK(key_size > 0 && key >= (const char *)data);
    }
    lin_history_free(&history);
    return 0;
}
