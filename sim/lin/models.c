/* SPDX-License-Identifier: Apache-2.0
 *
 * The sequential machines that histories are judged by. */
#include "lin/models.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

bool lin_word_is(struct lin_word word, const char *text)
{
    return word.size == strlen(text) && memcmp(word.at, text, word.size) == 0;
}

bool lin_word_number(struct lin_word word, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < word.size; i++) {
        if (word.at[i] < '0' || word.at[i] > '9' || value > (UINT64_MAX - 9) / 10) {
            return false;
        }
        value = value * 10 + (uint64_t)(word.at[i] - '0');
    }
    *out = value;
    return word.size > 0;
}

static uint64_t text_of(struct lin_world *world, struct lin_word word)
{
    return lin_words_add(&world->words, LIN_EMPTY, word.at, word.size);
}

static bool shape(const struct lin_call *call, const char *verb, uint32_t args)
{
    return lin_word_is(call->verb, verb) && call->arg_count == args;
}

/* Exactly one word of answer, or none because the call is open. */
static bool answered(const struct lin_call *call)
{
    return call->open ? call->answer_count == 0 : call->answer_count == 1;
}

/* ---- register: one value ---- */

enum { READ, WRITE, SWAP };

static const char *register_take(struct lin_world *world, const struct lin_call *call,
                                 struct lin_op *op)
{
    if (shape(call, "read", 0) && answered(call)) {
        op->verb = READ;
        op->reads = true;
        op->arg[0] = call->open ? 0 : text_of(world, call->answer[0]);
        return NULL;
    }
    if (shape(call, "write", 1) && call->answer_count == 0) {
        op->verb = WRITE;
        op->sets = true;
        op->arg[0] = text_of(world, call->args[0]);
        return NULL;
    }
    bool done = call->answer_count == 1 && lin_word_is(call->answer[0], "yes");
    bool not_done = call->answer_count == 1 && lin_word_is(call->answer[0], "no");
    if (shape(call, "cas", 2) && answered(call) && (call->open || done || not_done)) {
        op->verb = SWAP;
        op->reads = not_done;
        op->arg[0] = text_of(world, call->args[0]);
        op->arg[1] = text_of(world, call->args[1]);
        op->arg[2] = done;
        return NULL;
    }
    return "a register knows: read = VALUE, write VALUE, cas OLD NEW = yes|no";
}

static bool register_step(void *ctx, uint64_t state, const struct lin_op *op, uint64_t *next)
{
    (void)ctx;
    *next = state;
    switch (op->verb) {
    case READ:
        return op->arg[0] == state;
    case WRITE:
        *next = op->arg[0];
        return true;
    case SWAP:
        *next = state == op->arg[0] && !op->reads ? op->arg[1] : state;
        return op->done == LIN_NEVER || (state == op->arg[0]) == (op->arg[2] != 0);
    }
    return false;
}

static const char *register_begin(struct lin_world *world, struct lin_word word, uint64_t *init)
{
    *init = text_of(world, word);
    return NULL;
}

/* ---- mutex ---- */

enum { ACQUIRE, RELEASE };

static const char *mutex_take(struct lin_world *world, const struct lin_call *call,
                              struct lin_op *op)
{
    (void)world;
    bool acquire = shape(call, "acquire", 0);
    op->verb = acquire ? ACQUIRE : RELEASE;
    return (acquire || shape(call, "release", 0)) && call->answer_count == 0
               ? NULL
               : "a mutex knows: acquire, release";
}

static bool mutex_step(void *ctx, uint64_t state, const struct lin_op *op, uint64_t *next)
{
    (void)ctx;
    *next = op->verb == ACQUIRE;
    return state != *next;
}

/* ---- text: put, append, get ---- */

enum { GET, PUT, APPEND };

static const char *const TEXT_CALLS = "a text knows: get = 'TEXT, put 'TEXT, append 'TEXT";

static const char *text_take(struct lin_world *world, const struct lin_call *call,
                             struct lin_op *op)
{
    bool get = shape(call, "get", 0) && answered(call);
    bool put = shape(call, "put", 1) && call->answer_count == 0;
    bool append = shape(call, "append", 1) && call->answer_count == 0;
    if (!get && !put && !append) {
        return TEXT_CALLS;
    }
    op->verb = get ? GET : put ? PUT : APPEND;
    op->reads = get;
    op->sets = put;
    if (get && call->open) {
        return NULL;
    }
    struct lin_word word = get ? call->answer[0] : call->args[0];
    if (word.size == 0 || word.at[0] != '\'') {
        return TEXT_CALLS;
    }
    op->arg[0] = lin_words_add(&world->words, LIN_EMPTY, word.at + 1, word.size - 1);
    op->arg[1] = (uint64_t)(uintptr_t)(word.at + 1);
    op->arg[2] = word.size - 1;
    return NULL;
}

static bool text_step(void *ctx, uint64_t state, const struct lin_op *op, uint64_t *next)
{
    struct lin_world *world = ctx;
    *next = state;
    switch (op->verb) {
    case GET:
        return op->arg[0] == state;
    case PUT:
        *next = op->arg[0];
        return true;
    case APPEND:
        *next = lin_words_add(&world->words, state, (const char *)(uintptr_t)op->arg[1],
                              (size_t)op->arg[2]);
        return true;
    }
    return false;
}

/* ---- registers: transactions over a few named ones ---- */

/* Number of a name or a value, from 1 on; 0: there are too many. */
static uint32_t number_of(struct lin_world *world, struct sim_ledger *numbers, uint32_t *count,
                          uint32_t most, struct lin_word word)
{
    uint64_t *number = sim_ledger_at(numbers, text_of(world, word) + 1);
    if (*number == 0 && *count < most) {
        *number = ++*count;
    }
    return (uint32_t)*number;
}

static const char *access_take(struct lin_world *world, struct lin_word word, bool open,
                               struct lin_access *out)
{
    size_t at = 0;
    while (at < word.size && word.at[at] != '=' && word.at[at] != '?') {
        at++;
    }
    if (at == 0 || at == word.size) {
        return "a transaction is made of NAME=VALUE (write) and NAME?VALUE (read)";
    }
    struct lin_word name = {.at = word.at, .size = at};
    struct lin_word value = {.at = word.at + at + 1, .size = word.size - at - 1};
    uint32_t reg =
        number_of(world, &world->registers, &world->register_count, LIN_REGISTERS_MAX, name);
    uint32_t number = number_of(world, &world->values, &world->value_count, UINT8_MAX, value);
    if (reg == 0 || number == 0) {
        return "more than 8 registers, or 255 values of them";
    }
    bool write = word.at[at] == '=';
    *out = (struct lin_access){
        .reg = (uint8_t)(reg - 1), .value = (uint8_t)number, .write = write, .any = !write && open};
    return NULL;
}

static const char *registers_take(struct lin_world *world, const struct lin_call *call,
                                  struct lin_op *op)
{
    if (!lin_word_is(call->verb, "txn") || call->answer_count != 0) {
        return "registers know: txn NAME=VALUE|NAME?VALUE...";
    }
    op->arg[0] = world->access_count;
    op->arg[1] = call->arg_count;
    op->reads = true;
    for (uint32_t i = 0; i < call->arg_count; i++) {
        if (world->access_count == world->access_capacity) {
            world->access_capacity = world->access_capacity == 0 ? 64 : 2 * world->access_capacity;
            world->accesses =
                realloc(world->accesses, world->access_capacity * sizeof *world->accesses);
            SH_CHECK(world->accesses != NULL);
        }
        struct lin_access *access = &world->accesses[world->access_count++];
        const char *wrong = access_take(world, call->args[i], call->open, access);
        if (wrong != NULL) {
            return wrong;
        }
        op->reads = op->reads && !access->write;
    }
    return NULL;
}

static bool registers_step(void *ctx, uint64_t state, const struct lin_op *op, uint64_t *next)
{
    const struct lin_world *world = ctx;
    for (uint64_t i = 0; i < op->arg[1]; i++) {
        const struct lin_access *a = &world->accesses[op->arg[0] + i];
        uint32_t shift = 8u * a->reg;
        if (a->write) {
            state = (state & ~(UINT64_C(255) << shift)) | (uint64_t)a->value << shift;
        } else if (!a->any && (state >> shift & 255) != a->value) {
            return false;
        }
    }
    *next = state;
    return true;
}

static const char *registers_begin(struct lin_world *world, struct lin_word word, uint64_t *init)
{
    struct lin_access access;
    const char *wrong = access_take(world, word, false, &access);
    if (wrong == NULL) {
        *init |= (uint64_t)access.value << 8u * access.reg;
    }
    return wrong;
}

/* ---- job: one idempotency key ---- */

static const char *job_take(struct lin_world *world, const struct lin_call *call, struct lin_op *op)
{
    (void)world;
    uint64_t progress = 0;
    if (shape(call, "submit", 0) && answered(call)) {
        op->verb = LIN_JOB_SUBMIT;
        bool read = call->open || lin_word_number(call->answer[0], &op->arg[0]);
        return read && (call->open || op->arg[0] != 0) && op->arg[0] <= LIN_JOB_ID_MAX
                   ? NULL
                   : "submit is answered with the number of a job";
    }
    if (!shape(call, "read", 1) || !answered(call) ||
        !lin_word_number(call->args[0], &op->arg[0]) || op->arg[0] == 0 ||
        op->arg[0] > LIN_JOB_ID_MAX) {
        return "a job knows: submit = JOB, read JOB = absent|PROGRESS";
    }
    op->verb = LIN_JOB_READ;
    op->reads = call->open || lin_word_is(call->answer[0], "absent");
    if (op->reads) {
        return NULL;
    }
    if (!lin_word_number(call->answer[0], &progress) || progress > LIN_JOB_PROGRESS_MAX) {
        return "progress is a number, at most 16777214";
    }
    op->arg[1] = progress + 1;
    return NULL;
}

/* State: 0, no job; else the job, 0 while nobody was told which, and 1 + its progress below. */
bool lin_job_step(void *ctx, uint64_t state, const struct lin_op *op, uint64_t *next)
{
    (void)ctx;
    uint64_t job = state >> 24;
    uint64_t progress = state & (LIN_JOB_PROGRESS_MAX + 1);
    bool open = op->done == LIN_NEVER;
    *next = state;
    if (op->verb == LIN_JOB_SUBMIT) {
        uint64_t told = open ? job : op->arg[0];
        *next = told << 24 | (progress == 0 ? 1 : progress);
        return job == 0 || told == job;
    }
    if (op->arg[1] == 0) {
        return state == 0;
    }
    *next = op->arg[0] << 24 | op->arg[1];
    return state != 0 && (job == 0 || job == op->arg[0]) && op->arg[1] >= progress;
}

static const char *nothing_begin(struct lin_world *world, struct lin_word word, uint64_t *init)
{
    (void)world;
    (void)word;
    (void)init;
    return "this model has no first value";
}

const struct lin_model LIN_MODELS[] = {
    {.name = "register",
     .first = "nil",
     .take = register_take,
     .begin = register_begin,
     .step = register_step},
    {.name = "registers", .take = registers_take, .begin = registers_begin, .step = registers_step},
    {.name = "mutex", .take = mutex_take, .begin = nothing_begin, .step = mutex_step},
    {.name = "text", .take = text_take, .begin = nothing_begin, .step = text_step},
    {.name = "job", .take = job_take, .begin = nothing_begin, .step = lin_job_step},
};
const uint32_t LIN_MODEL_COUNT = SH_COUNT(LIN_MODELS);
