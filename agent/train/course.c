/* SPDX-License-Identifier: Apache-2.0 */
#include "train/course.h"

#include "base/check.h"

/* An epoch up to its validation, in steps of so many at once. */
static uint64_t rounds_of(const struct train_course *course, uint64_t stretch)
{
    return (course->steps_an_epoch + stretch - 1) / stretch;
}

static uint64_t stretch_of(const struct train_course *course, bool together)
{
    return together || course->stretch == 0 ? 1 : course->stretch;
}

static uint64_t period(const struct train_course *course, bool together)
{
    return rounds_of(course, stretch_of(course, together)) + (course->validates ? 1 : 0);
}

static uint64_t together(const struct train_course *course)
{
    return course->together < course->epochs ? course->together : course->epochs;
}

uint64_t train_course_length(const struct train_course *course)
{
    SH_CHECK_CMP(course->steps_an_epoch, >, 0);
    return together(course) * period(course, true) +
           (course->epochs - together(course)) * period(course, false) + (course->tests ? 1 : 0);
}

struct train_round train_course_at(const struct train_course *course, uint64_t position)
{
    uint64_t length = train_course_length(course);
    uint64_t before = together(course) * period(course, true);
    bool joint = position < before;
    uint64_t from = joint ? position : position - before;
    SH_CHECK_CMP(position, <=, length);
    struct train_round round = {.epoch =
                                    (joint ? 0 : together(course)) + from / period(course, joint)};
    if (round.epoch >= course->epochs) {
        round.epoch = course->epochs;
        round.step = course->epochs * course->steps_an_epoch;
        round.kind = position < length ? TRAIN_TEST : TRAIN_END;
        return round;
    }
    uint64_t stretch = stretch_of(course, joint);
    round.in_epoch = from % period(course, joint) * stretch;
    if (round.in_epoch >= course->steps_an_epoch) {
        round.in_epoch = course->steps_an_epoch;
        round.kind = TRAIN_VALIDATION;
    } else {
        uint64_t rest = course->steps_an_epoch - round.in_epoch;
        round.kind = joint || course->stretch == 0 ? TRAIN_STEP : TRAIN_LOCAL;
        round.steps = rest < stretch ? rest : stretch;
    }
    round.step = round.epoch * course->steps_an_epoch + round.in_epoch;
    if (round.kind == TRAIN_LOCAL) {
        round.earlier = (round.epoch - together(course)) * rounds_of(course, stretch) +
                        round.in_epoch / stretch;
    }
    return round;
}
