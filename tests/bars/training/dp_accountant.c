/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers requests on stdin, a line each:
 *
 *   Q NOISE ROUNDS DELTA       epsilon and the order that gave it
 *   rdp Q NOISE ORDER          R(order) of one round */
#include "kernels/agg/accountant.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

static int answer(const char *line)
{
    double q = 0;
    double noise = 0;
    double delta = 0;
    uint64_t rounds = 0;
    uint32_t order = 0;
    struct kn_diag diag = {""};
    const bool rdp = sscanf(line, "rdp %lf %lf %" SCNu32, &q, &noise, &order) == 3;
    if (!rdp && sscanf(line, "%lf %lf %" SCNu64 " %lf", &q, &noise, &rounds, &delta) != 4) {
        (void)fprintf(stderr, "not a request: %s", line);
        return 2;
    }
    if (kn_privacy_verify(q, noise, &diag) != KN_OK) {
        (void)fprintf(stderr, "%s\n", diag.text);
        return 2;
    }
    if (rdp) {
        (void)printf("%.17g\n", kn_privacy_rdp(q, noise, order));
        return 0;
    }
    struct kn_ledger ledger = {{0}};
    kn_ledger_spend(&ledger, q, noise, rounds);
    double epsilon = kn_ledger_epsilon(&ledger, delta, &order);
    (void)printf("%.17g %" PRIu32 "\n", epsilon, order);
    return 0;
}

int main(void)
{
    char line[256];
    while (fgets(line, sizeof line, stdin) != NULL) {
        int status = answer(line);
        if (status != 0) {
            return status;
        }
    }
    return 0;
}
