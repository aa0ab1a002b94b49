/* SPDX-License-Identifier: Apache-2.0
 *
 * Negative control: linked with sums in arrival order, so that the tests which compare results are
 * known to see the difference. */
#include "herd.h"
#include "tst.h"

#include <string.h>

TEST(sums_in_arrival_order_make_the_result_depend_on_the_number_of_agents)
{
    const struct herd_job job = {.epochs = 3};
    struct jobs_unit alone;
    struct jobs_unit three;
    herd_run(1, NULL, &job, &alone);
    herd_run(3, NULL, &job, &three);
    EXPECT_EQ(alone.state, JOBS_COMPLETED);
    EXPECT_EQ(three.state, JOBS_COMPLETED);
    EXPECT(memcmp(alone.outcome.model, three.outcome.model, SH_DIGEST_BYTES) != 0);
}
