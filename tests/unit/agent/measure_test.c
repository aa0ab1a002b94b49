/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/measure.h"

#include "tst.h"

static const struct {
    const char *text;
    uint64_t seconds; /* UINT64_MAX: no time */
} TIMES[] = {
    {"0", 0},
    {"90", 90},
    {"90s", 90},
    {"2h30m", 9000},
    {"84h", 302400},
    {"1d2h3m4s", 93784},
    {"", UINT64_MAX},
    {"s", UINT64_MAX},
    {"2h30", UINT64_MAX},
    {"30m2h", UINT64_MAX},
    {"1h1h", UINT64_MAX},
    {"-1s", UINT64_MAX},
    {"1.5h", UINT64_MAX},
    {"9999999999999999s", UINT64_MAX},
    {"999999999999999d", UINT64_MAX},
    {"2 h", UINT64_MAX},
};

TEST_ROWS(times_are_read_as_people_write_them, TIMES)
{
    uint64_t seconds = 7;
    bool good = spec_seconds_read(TIMES[tst_row].text, &seconds);
    EXPECT_EQ(good, TIMES[tst_row].seconds != UINT64_MAX);
    EXPECT(!good || seconds == TIMES[tst_row].seconds);
}

static const struct {
    const char *text;
    uint64_t bytes;
} SIZES[] = {
    {"0", 0},
    {"1024", 1024},
    {"5B", 5},
    {"512MiB", UINT64_C(512) << 20},
    {"8GiB", UINT64_C(8) << 30},
    {"20GB", UINT64_C(20000000000)},
    {"3TiB", UINT64_C(3) << 40},
    {"", UINT64_MAX},
    {"GiB", UINT64_MAX},
    {"1gib", UINT64_MAX},
    {"1 GiB", UINT64_MAX},
    {"999999999999999TiB", UINT64_MAX},
};

TEST_ROWS(sizes_are_read_as_people_write_them, SIZES)
{
    uint64_t bytes = 7;
    bool good = spec_bytes_read(SIZES[tst_row].text, &bytes);
    EXPECT_EQ(good, SIZES[tst_row].bytes != UINT64_MAX);
    EXPECT(!good || bytes == SIZES[tst_row].bytes);
}
