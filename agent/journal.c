/* SPDX-License-Identifier: Apache-2.0 */
#include "journal.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

/* Set once before any other thread exists, read-only afterwards. */
static const char *who = "shoal";
static enum journal_level most = JOURNAL_INFO;

void journal_open(const char *name, enum journal_level level)
{
    who = name;
    most = level;
}

void journal_line(enum journal_level level, const char *format, ...)
{
    static const char *const LEVELS[] = {"error", "warn", "info"};
    if (level > most) {
        return;
    }
    char text[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct timespec now;
    struct tm utc;
    SH_CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
    SH_CHECK(gmtime_r(&now.tv_sec, &utc) != NULL);
    char stamp[32];
    (void)strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    /* One call, so that lines of different threads do not mix. */
    (void)fprintf(stderr, "%s.%03ldZ %s %s: %s\n", stamp, now.tv_nsec / 1000000, who, LEVELS[level],
                  text);
}
