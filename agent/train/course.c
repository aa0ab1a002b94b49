/* SPDX-License-Identifier: Apache-2.0 */
#include "train/course.h"

#include "base/check.h"

static uint64_t period(const struct train_course *course)
{
    return course->steps_an_epoch + (course->validates ? 1 : 0);
}

uint64_t train_course_length(const struct train_course *course)
{
    SH_CHECK_CMP(course->steps_an_epoch, >, 0);
    return course->epochs * period(course) + (course->tests ? 1 : 0);
}

struct train_round train_course_at(const struct train_course *course, uint64_t position)
{
    uint64_t length = train_course_length(course);
    SH_CHECK_CMP(position, <=, length);
    struct train_round round = {.epoch = position / period(course)};
    uint64_t rest = position % period(course);
    if (round.epoch >= course->epochs) {
        round.epoch = course->epochs;
        round.step = course->epochs * course->steps_an_epoch;
        round.kind = position < length ? TRAIN_TEST : TRAIN_END;
        return round;
    }
    round.step = round.epoch * course->steps_an_epoch + rest;
    round.in_epoch = rest;
    round.kind = rest < course->steps_an_epoch ? TRAIN_STEP : TRAIN_VALIDATION;
    return round;
}
