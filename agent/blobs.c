/* SPDX-License-Identifier: Apache-2.0 */
#include "blobs.h"

#include "journal.h"

#include "base/host/host.h"
#include "base/rng.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum blobs_op { OP_HAS = 1, OP_READ = 2, OP_WRITE = 3, OP_HELD = 4 };
enum { REQUEST_MAX = 64 + BLOBS_PIECE_BYTES };

#define RETRY_US    UINT64_C(200000)
#define KEEP_MAX_US UINT64_C(2678400000000) /* a month: of what another agent asks for */

struct pushed { /* a blob that another agent is giving us */
    bool taken;
    bool busy; /* a worker is writing it: the lock is not held meanwhile */
    struct blob_id id;
    struct blob_writer *writer;
    uint64_t received;
    uint64_t used_us;
};

struct blobs {
    struct blobs_config config;
    atomic_bool stopping;
    atomic_uint_least64_t fetched;                       /* bytes */
    void (*on_put)(void *ctx, const struct blob_id *id); /* NULL: nobody is told */
    void *on_put_ctx;
    pthread_mutex_t lock; /* pushed */
    struct pushed pushed[BLOBS_PUSHED_MAX];
};

static enum sh_err answer_has(struct blobs *b, const struct blob_id *id, struct sh_writer *reply)
{
    bool has = false;
    uint64_t size = 0;
    enum sh_err err = blob_has(b->config.store, id, &has);
    if (err == SH_OK && has) {
        err = blob_size(b->config.store, id, &size);
    }
    sh_put_u8(reply, has ? 1 : 0);
    sh_put_u64(reply, size);
    return err;
}

/* One byte for id and for each of those that follow it. */
static enum sh_err answer_held(struct blobs *b, const struct blob_id *id, struct sh_reader *request,
                               struct sh_writer *reply)
{
    struct blob_id next = *id;
    uint16_t more = sh_get_u16(request);
    bool has = false;
    enum sh_err err = request->bad || more >= BLOBS_ASKED_MAX ? SH_ERR_INVALID : SH_OK;
    for (uint32_t i = 0; err == SH_OK && i <= more; i++) {
        err = blob_has(b->config.store, &next, &has);
        sh_put_u8(reply, has ? 1 : 0);
        if (i < more) {
            sh_get_bytes(request, next.digest, sizeof next.digest);
        }
    }
    return err == SH_OK && request->bad ? SH_ERR_INVALID : err;
}

static enum sh_err answer_read(struct blobs *b, const struct blob_id *id, struct sh_reader *request,
                               struct sh_writer *reply)
{
    uint64_t offset = sh_get_u64(request);
    uint32_t size = sh_get_u32(request);
    if (request->bad || size > BLOBS_PIECE_BYTES || size > reply->size - reply->used) {
        return SH_ERR_INVALID;
    }
    struct blob_reader *reader;
    enum sh_err err = blob_read_open(b->config.store, id, &reader);
    if (err != SH_OK) {
        return err;
    }
    size_t got = 0;
    err = blob_read(reader, offset, reply->at + reply->used, size, &got);
    reply->used += got;
    if (err == SH_ERR_CORRUPT) {
        char text[KV_TEXT_BYTES];
        blob_read_why(reader, text);
        journal_error("%s", text);
    }
    blob_read_close(reader);
    return err;
}

/* Under the lock: the place of this blob, or a free one (an idle one is emptied into *stale for the
 * caller to close). NULL: FULL. */
static struct pushed *find_place(struct blobs *b, const struct blob_id *id, struct pushed *stale)
{
    struct pushed *free_place = NULL;
    uint64_t now = sh_now_us();
    for (size_t i = 0; i < BLOBS_PUSHED_MAX; i++) {
        struct pushed *p = &b->pushed[i];
        if (p->taken && memcmp(&p->id, id, sizeof *id) == 0) {
            return p;
        }
        if (p->taken && !p->busy && now - p->used_us > BLOBS_PUSH_IDLE_US && !stale->taken) {
            *stale = *p;
            *p = (struct pushed){0};
        }
        if (!p->taken && free_place == NULL) {
            free_place = p;
        }
    }
    return free_place;
}

/* Opens the writer where it is not open yet; EXISTS when the blob is complete here. */
static enum sh_err open_writer(struct blobs *b, struct pushed *p)
{
    if (p->writer != NULL) {
        return SH_OK;
    }
    return blob_write_open(b->config.store, &p->id, &p->writer, &p->received);
}

/* Outside the lock; p is busy. Sets *complete when nothing more is to come. */
static enum sh_err write_piece(struct blobs *b, struct pushed *p, uint64_t total, uint64_t offset,
                               struct sh_span bytes, bool *complete)
{
    enum sh_err err = open_writer(b, p);
    if (err == SH_ERR_EXISTS) {
        p->received = total;
        *complete = true;
        return SH_OK;
    }
    if (err != SH_OK) {
        return err;
    }
    if (offset == p->received && bytes.size <= total - offset) {
        err = blob_write(p->writer, bytes.at, bytes.size);
        p->received += err == SH_OK ? bytes.size : 0;
    }
    if (err == SH_OK && p->received == total) {
        err = blob_write_finish(p->writer, NULL);
        p->writer = NULL;
        *complete = true;
    }
    return err;
}

static enum sh_err answer_write(struct blobs *b, const struct blob_id *id,
                                struct sh_reader *request, struct sh_writer *reply)
{
    uint64_t total = sh_get_u64(request);
    uint64_t offset = sh_get_u64(request);
    uint64_t keep_us = sh_get_u64(request);
    struct sh_span bytes = sh_get_blob(request, BLOBS_PIECE_BYTES);
    if (request->bad || total > BLOB_BYTES_MAX || offset > total) {
        return SH_ERR_INVALID;
    }
    struct pushed stale = {0};
    SH_CHECK(pthread_mutex_lock(&b->lock) == 0);
    struct pushed *p = find_place(b, id, &stale);
    bool claimed = p != NULL && !p->busy;
    if (claimed) {
        p->taken = true;
        p->busy = true;
        p->id = *id;
        p->used_us = sh_now_us();
    }
    SH_CHECK(pthread_mutex_unlock(&b->lock) == 0);
    enum sh_err err = SH_OK;
    if (stale.writer != NULL) {
        err = blob_write_close(stale.writer);
    }
    if (!claimed) {
        return SH_ERR_FULL;
    }
    bool complete = false;
    if (err == SH_OK) {
        err = write_piece(b, p, total, offset, bytes, &complete);
    }
    if (err == SH_OK && complete && keep_us > 0) {
        err = blob_keep(b->config.store, id, keep_us < KEEP_MAX_US ? keep_us : KEEP_MAX_US);
    }
    sh_put_u64(reply, p->received);
    if (err != SH_OK && p->writer != NULL) {
        enum sh_err closed = blob_write_close(p->writer);
        p->writer = NULL;
        err = closed != SH_OK ? closed : err;
    }
    SH_CHECK(pthread_mutex_lock(&b->lock) == 0);
    p->busy = false;
    if (complete || err != SH_OK) {
        *p = (struct pushed){0};
    }
    SH_CHECK(pthread_mutex_unlock(&b->lock) == 0);
    return err;
}

static enum sh_err answer(void *ctx, struct sh_span request, uint8_t *reply, size_t capacity,
                          size_t *reply_size)
{
    struct blobs *b = ctx;
    struct sh_reader r = sh_reader_over(request.at, request.size);
    struct sh_writer w = sh_writer_over(reply, capacity);
    struct blob_id id;
    uint8_t op = sh_get_u8(&r);
    sh_get_bytes(&r, id.digest, sizeof id.digest);
    enum sh_err err = SH_ERR_INVALID;
    if (!r.bad && op == OP_HAS) {
        err = answer_has(b, &id, &w);
    } else if (!r.bad && op == OP_READ) {
        err = answer_read(b, &id, &r, &w);
    } else if (!r.bad && op == OP_WRITE) {
        err = answer_write(b, &id, &r, &w);
    } else if (!r.bad && op == OP_HELD) {
        err = answer_held(b, &id, &r, &w);
    }
    *reply_size = w.used;
    return err == SH_OK && w.full ? SH_ERR_LIMIT : err;
}

enum sh_err blobs_open(struct blobs **out, const struct blobs_config *config)
{
    struct blobs *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    b->config = *config;
    SH_CHECK(pthread_mutex_init(&b->lock, NULL) == 0);
    calls_on(config->calls, SERVICE_CALL_BLOB, answer, b);
    *out = b;
    return SH_OK;
}

void blobs_stop(struct blobs *blobs)
{
    atomic_store(&blobs->stopping, true);
}

void blobs_close(struct blobs *blobs)
{
    if (blobs == NULL) {
        return;
    }
    for (size_t i = 0; i < BLOBS_PUSHED_MAX; i++) {
        SH_CHECK(!blobs->pushed[i].busy);
        if (blobs->pushed[i].writer != NULL) {
            enum sh_err err = blob_write_close(blobs->pushed[i].writer);
            if (err != SH_OK) {
                journal_warn("a half-received blob is lost: %s", sh_err_text(err));
            }
        }
    }
    SH_CHECK(pthread_mutex_destroy(&blobs->lock) == 0);
    free(blobs);
}

static void begin_request(struct sh_writer *w, enum blobs_op op, const struct blob_id *id)
{
    sh_put_u8(w, (uint8_t)op);
    sh_put_bytes(w, id->digest, sizeof id->digest);
}

static uint64_t left_until(uint64_t deadline_us)
{
    uint64_t now = sh_now_us();
    return now >= deadline_us ? 0 : deadline_us - now;
}

/* How long one blob is waited for, whoever gives or gets it. */
struct limit {
    uint64_t deadline_us;
    const struct service_patience *patience; /* NULL: the deadline stands */
    /* How far each agent came: a byte that it had before is no reason to wait on. */
    uint32_t count;
    struct {
        uint8_t node[SH_NODE_ID_BYTES];
        uint64_t offset;
    } far[BLOBS_HOLDERS_MAX];
};

static struct limit limit_of(uint64_t timeout_us)
{
    return (struct limit){.deadline_us = sh_now_us() + timeout_us};
}

static struct limit limit_of_patient(const struct service_patience *patience)
{
    return (struct limit){.deadline_us = sh_now_us() + patience->quiet_us, .patience = patience};
}

static void note_bytes(struct limit *l, const uint8_t *node, uint64_t offset)
{
    uint32_t i = 0;
    while (i < l->count && memcmp(l->far[i].node, node, SH_NODE_ID_BYTES) != 0) {
        i++;
    }
    if (i == l->count && i < SH_COUNT(l->far)) {
        memcpy(l->far[i].node, node, SH_NODE_ID_BYTES);
        l->far[i].offset = 0;
        l->count++;
    }
    if (i < l->count && offset > l->far[i].offset) {
        l->far[i].offset = offset;
        if (l->patience != NULL) {
            l->deadline_us = sh_now_us() + l->patience->quiet_us;
        }
    }
}

static bool is_over(struct blobs *b, const struct limit *l)
{
    return atomic_load(&b->stopping) || (l->patience != NULL && l->patience->is_over != NULL &&
                                         l->patience->is_over(l->patience->ctx));
}

static uint64_t piece_timeout(const struct limit *l)
{
    uint64_t left = left_until(l->deadline_us);
    return left < BLOBS_CALL_US ? left : BLOBS_CALL_US;
}

static enum sh_err ask_has(struct blobs *b, const uint8_t *node, const struct blob_id *id,
                           const struct limit *limit, bool *has, uint64_t *size)
{
    uint8_t request[64];
    uint8_t reply[16];
    size_t got = 0;
    struct sh_writer w = sh_writer_over(request, sizeof request);
    begin_request(&w, OP_HAS, id);
    enum sh_err err = calls_ask(b->config.calls, CALLS_BULK, node, SERVICE_CALL_BLOB, request,
                                w.used, reply, sizeof reply, &got, piece_timeout(limit));
    struct sh_reader r = sh_reader_over(reply, got);
    *has = err == SH_OK && sh_get_u8(&r) == 1;
    *size = *has ? sh_get_u64(&r) : 0;
    return err != SH_OK ? err : sh_reader_end(&r);
}

struct push { /* one blob on its way to one agent */
    const struct blob_id *id;
    struct blob_reader *reader;
    uint8_t *piece;   /* BLOBS_PIECE_BYTES */
    uint8_t *request; /* REQUEST_MAX */
    struct limit limit;
    uint64_t keep_us;  /* that the receiver keeps it at least; 0: as it likes */
    enum sh_err local; /* not OK: reading it here failed, so no other agent helps */
};

/* Sends the piece at *offset; then *offset is where the receiver is. */
static enum sh_err push_piece(struct blobs *b, const uint8_t *node, struct push *p,
                              uint64_t *offset)
{
    uint64_t total = blob_read_size(p->reader);
    size_t got = 0;
    p->local = blob_read(p->reader, *offset, p->piece, BLOBS_PIECE_BYTES, &got);
    if (p->local != SH_OK) {
        return p->local;
    }
    struct sh_writer w = sh_writer_over(p->request, REQUEST_MAX);
    begin_request(&w, OP_WRITE, p->id);
    sh_put_u64(&w, total);
    sh_put_u64(&w, *offset);
    sh_put_u64(&w, p->keep_us);
    sh_put_blob(&w, p->piece, got);
    uint8_t reply[16];
    size_t size = 0;
    enum sh_err err = calls_ask(b->config.calls, CALLS_BULK, node, SERVICE_CALL_BLOB, p->request,
                                w.used, reply, sizeof reply, &size, piece_timeout(&p->limit));
    if (err != SH_OK) {
        return err;
    }
    struct sh_reader r = sh_reader_over(reply, size);
    uint64_t before = *offset;
    *offset = sh_get_u64(&r); /* it may have had a part already */
    if (r.bad || *offset > total) {
        return SH_ERR_CORRUPT;
    }
    note_bytes(&p->limit, node, *offset);
    return *offset > before || *offset == total ? SH_OK : SH_ERR_IN_USE; /* others write it */
}

/* Gives the blob to one agent; OK when it is durable there. */
static enum sh_err push(struct blobs *b, const uint8_t *node, struct push *p)
{
    uint64_t total = blob_read_size(p->reader);
    uint64_t offset = 0;
    enum sh_err err = SH_OK;
    do {
        err = is_over(b, &p->limit) ? SH_ERR_CANCELLED : push_piece(b, node, p, &offset);
    } while (err == SH_OK && offset < total);
    return err;
}

static bool among(uint8_t (*ids)[SH_NODE_ID_BYTES], size_t count, const uint8_t *id)
{
    for (size_t i = 0; i < count; i++) {
        if (memcmp(ids[i], id, SH_NODE_ID_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

struct held { /* who has it durable, this agent first */
    size_t count;
    uint8_t ids[BLOBS_HOLDERS_MAX][SH_NODE_ID_BYTES];
};

/* One pass over the live agents that do not hold it yet. */
static void copy_pass(struct blobs *b, struct push *p, size_t wanted,
                      uint8_t (*alive)[SH_NODE_ID_BYTES], size_t alive_count, struct held *held)
{
    for (size_t i = 0; i < alive_count && held->count < wanted && p->local == SH_OK; i++) {
        if (!among(held->ids, held->count, alive[i]) && push(b, alive[i], p) == SH_OK) {
            memcpy(held->ids[held->count], alive[i], SH_NODE_ID_BYTES);
            held->count++;
        }
    }
}

/* Whoever failed us may be found dead or come back: worth another pass when the membership changed,
 * and after RETRY_US in any case. */
static void wait_for_change(struct blobs *b, uint64_t seen, uint64_t deadline_us)
{
    uint64_t left = left_until(deadline_us);
    (void)members_wait(b->config.members, seen, left < RETRY_US ? left : RETRY_US);
}

/* The order in which agents are given a blob, and asked for it. */
static void order_for(const struct blob_id *id, uint8_t (*nodes)[SH_NODE_ID_BYTES], size_t count)
{
    uint64_t ranks[BLOBS_HOLDERS_MAX];
    uint64_t seed = sh_hash64(0, id->digest, sizeof id->digest);
    for (size_t i = 0; i < count; i++) {
        uint8_t node[SH_NODE_ID_BYTES];
        uint64_t rank = sh_hash64(seed, nodes[i], SH_NODE_ID_BYTES);
        size_t at = i;
        memcpy(node, nodes[i], sizeof node);
        for (; at > 0 && ranks[at - 1] > rank; at--) {
            ranks[at] = ranks[at - 1];
            memcpy(nodes[at], nodes[at - 1], SH_NODE_ID_BYTES);
        }
        ranks[at] = rank;
        memcpy(nodes[at], node, sizeof node);
    }
}

/* Passes until enough agents hold it. */
static enum sh_err copy_until(struct blobs *b, struct push *p, unsigned copies, struct held *held)
{
    uint8_t alive[BLOBS_HOLDERS_MAX][SH_NODE_ID_BYTES];
    for (;;) {
        uint64_t seen = members_version(b->config.members);
        size_t alive_count = members_alive(b->config.members, alive, SH_COUNT(alive));
        order_for(p->id, alive, alive_count);
        size_t wanted = copies < alive_count + 1 ? copies : alive_count + 1;
        wanted = wanted < SH_COUNT(held->ids) ? wanted : SH_COUNT(held->ids);
        copy_pass(b, p, wanted, alive, alive_count, held);
        if (held->count >= wanted || p->local != SH_OK) {
            return p->local;
        }
        if (is_over(b, &p->limit)) {
            return SH_ERR_CANCELLED;
        }
        if (left_until(p->limit.deadline_us) == 0) {
            return SH_ERR_TIMEOUT;
        }
        wait_for_change(b, seen, p->limit.deadline_us);
    }
}

static enum sh_err copy_for(struct blobs *blobs, const struct blob_id *id, unsigned copies,
                            uint64_t keep_us, struct service_holders *holders,
                            const struct limit *limit)
{
    struct push p = {.id = id, .limit = *limit, .keep_us = keep_us};
    struct held held = {.count = 1};
    memcpy(held.ids[0], blobs->config.me, SH_NODE_ID_BYTES);
    enum sh_err err = blob_read_open(blobs->config.store, id, &p.reader);
    if (err != SH_OK) {
        return err;
    }
    p.piece = malloc(BLOBS_PIECE_BYTES);
    p.request = malloc(REQUEST_MAX);
    err = p.piece == NULL || p.request == NULL ? SH_ERR_NO_MEMORY
                                               : copy_until(blobs, &p, copies, &held);
    free(p.request);
    free(p.piece);
    blob_read_close(p.reader);
    if (err == SH_OK && holders != NULL) {
        size_t room = SH_COUNT(holders->ids);
        holders->count = (uint32_t)(held.count < room ? held.count : room);
        memcpy(holders->ids, held.ids, holders->count * SH_NODE_ID_BYTES);
    }
    return err;
}

enum sh_err blobs_copy(struct blobs *blobs, const struct blob_id *id, unsigned copies,
                       struct service_holders *holders, uint64_t timeout_us)
{
    struct limit limit = limit_of(timeout_us);
    return copy_for(blobs, id, copies, 0, holders, &limit);
}

static enum sh_err put_for(struct blobs *blobs, const struct sh_span *bytes, unsigned copies,
                           uint64_t keep_us, struct blob_id *id, struct service_holders *holders,
                           const struct limit *limit)
{
    enum sh_err err = blob_put(blobs->config.store, bytes->at, bytes->size, id);
    if (err == SH_OK && keep_us > 0) {
        err = blob_keep(blobs->config.store, id, keep_us);
    }
    err = err == SH_OK ? copy_for(blobs, id, copies, keep_us, holders, limit) : err;
    if (err == SH_OK && blobs->on_put != NULL) {
        blobs->on_put(blobs->on_put_ctx, id);
    }
    return err;
}

enum sh_err blobs_put(struct blobs *blobs, const void *bytes, size_t size, unsigned copies,
                      struct blob_id *id, struct service_holders *holders, uint64_t timeout_us)
{
    struct sh_span span = {.at = bytes, .size = size};
    struct limit limit = limit_of(timeout_us);
    return put_for(blobs, &span, copies, 0, id, holders, &limit);
}

enum sh_err blobs_put_patient(struct blobs *blobs, const void *bytes, size_t size, unsigned copies,
                              struct blob_id *id, struct service_holders *holders,
                              const struct service_patience *patience)
{
    struct sh_span span = {.at = bytes, .size = size};
    struct limit limit = limit_of_patient(patience);
    return put_for(blobs, &span, copies, 0, id, holders, &limit);
}

enum sh_err blobs_upload(struct blobs *blobs, const void *bytes, size_t size, unsigned copies,
                         uint64_t keep_us, struct blob_id *id, uint64_t timeout_us)
{
    struct sh_span span = {.at = bytes, .size = size};
    struct limit limit = limit_of(timeout_us);
    return put_for(blobs, &span, copies, keep_us, id, NULL, &limit);
}

void blobs_on_put(struct blobs *blobs, void (*fn)(void *ctx, const struct blob_id *id), void *ctx)
{
    SH_CHECK(blobs->on_put == NULL);
    blobs->on_put_ctx = ctx;
    blobs->on_put = fn;
}

enum sh_err blobs_ask_held(struct blobs *blobs, const uint8_t node[SH_NODE_ID_BYTES],
                           const struct blob_id *ids, uint32_t count, bool *has,
                           uint64_t timeout_us)
{
    uint8_t request[16 + BLOBS_ASKED_MAX * SH_DIGEST_BYTES];
    uint8_t reply[BLOBS_ASKED_MAX];
    size_t got = 0;
    struct sh_writer w = sh_writer_over(request, sizeof request);
    SH_CHECK_CMP(count, >, 0);
    SH_CHECK_CMP(count, <=, BLOBS_ASKED_MAX);
    begin_request(&w, OP_HELD, &ids[0]);
    sh_put_u16(&w, (uint16_t)(count - 1));
    sh_put_bytes(&w, &ids[1], (count - 1) * sizeof *ids);
    SH_CHECK(!w.full);
    enum sh_err err = calls_ask(blobs->config.calls, CALLS_BULK, node, SERVICE_CALL_BLOB, request,
                                w.used, reply, sizeof reply, &got, timeout_us);
    if (err == SH_OK && got != count) {
        err = SH_ERR_CORRUPT;
    }
    for (uint32_t i = 0; i < count; i++) {
        has[i] = err == SH_OK && reply[i] == 1;
    }
    return err;
}

/* Pulls from one holder until it fails or the blob is complete. *resumed: others gave a part. */
static enum sh_err pull_once(struct blobs *b, const uint8_t *node, const struct blob_id *id,
                             uint64_t total, struct limit *limit, bool *resumed)
{
    struct blob_writer *writer;
    uint64_t offset = 0;
    *resumed = false;
    enum sh_err err = blob_write_open(b->config.store, id, &writer, &offset);
    if (err != SH_OK) {
        return err == SH_ERR_EXISTS ? SH_OK : err;
    }
    *resumed = offset > 0;
    uint8_t *piece = malloc(BLOBS_PIECE_BYTES);
    err = piece == NULL ? SH_ERR_NO_MEMORY : SH_OK;
    while (err == SH_OK && offset < total && !is_over(b, limit)) {
        uint8_t request[64];
        size_t got = 0;
        struct sh_writer w = sh_writer_over(request, sizeof request);
        begin_request(&w, OP_READ, id);
        sh_put_u64(&w, offset);
        sh_put_u32(&w, BLOBS_PIECE_BYTES);
        err = calls_ask(b->config.calls, CALLS_BULK, node, SERVICE_CALL_BLOB, request, w.used,
                        piece, BLOBS_PIECE_BYTES, &got, piece_timeout(limit));
        if (err == SH_OK && (got == 0 || got > total - offset)) {
            err = SH_ERR_CORRUPT;
        }
        if (err == SH_OK) {
            err = blob_write(writer, piece, got);
            offset += got;
            atomic_fetch_add(&b->fetched, got);
            note_bytes(limit, node, offset);
        }
    }
    free(piece);
    if (err == SH_OK && offset >= total) {
        return blob_write_finish(writer, NULL);
    }
    err = err == SH_OK ? SH_ERR_CANCELLED : err;
    enum sh_err closed = blob_write_close(writer);
    return closed != SH_OK ? closed : err;
}

/* The part that was there may be the lie of another holder: it is dropped with the damage, and this
 * holder gives the whole. */
static enum sh_err pull(struct blobs *b, const uint8_t *node, const struct blob_id *id,
                        uint64_t total, struct limit *limit)
{
    bool resumed = false;
    enum sh_err err = pull_once(b, node, id, total, limit, &resumed);
    if (err == SH_ERR_CORRUPT && resumed) {
        err = pull_once(b, node, id, total, limit, &resumed);
    }
    return err;
}

uint64_t blobs_fetched_bytes(const struct blobs *blobs)
{
    return atomic_load(&blobs->fetched);
}

/* Reads the copy that is here. NOT_FOUND; CORRUPT, which the journal tells. */
static enum sh_err check_here(struct blobs *b, const struct blob_id *id, uint64_t *size)
{
    struct blob_reader *reader;
    enum sh_err err = blob_read_open(b->config.store, id, &reader);
    if (err != SH_OK) {
        return err;
    }
    uint8_t *piece = malloc(BLOBS_PIECE_BYTES);
    uint64_t total = blob_read_size(reader);
    uint64_t offset = 0;
    err = piece == NULL ? SH_ERR_NO_MEMORY : SH_OK;
    while (err == SH_OK && offset < total) {
        size_t got = 0;
        err = blob_read(reader, offset, piece, BLOBS_PIECE_BYTES, &got);
        offset += got;
    }
    if (err == SH_ERR_CORRUPT) {
        char text[KV_TEXT_BYTES];
        blob_read_why(reader, text);
        journal_error("%s", text);
    }
    free(piece);
    blob_read_close(reader);
    if (err == SH_OK) { /* whoever asked for it is going to use it, or to name it */
        err = blob_keep(b->config.store, id, 0);
    }
    *size = total;
    return err;
}

/* What one pass over the other agents found. */
struct search {
    bool fetched;
    bool damaged; /* a copy that cannot be read */
    unsigned unanswered;
};

static void search_pass(struct blobs *b, const struct blob_id *id, bool damaged_here,
                        struct limit *limit, struct search *found)
{
    uint8_t alive[BLOBS_HOLDERS_MAX][SH_NODE_ID_BYTES];
    size_t count = members_alive(b->config.members, alive, SH_COUNT(alive));
    *found = (struct search){.damaged = damaged_here};
    for (size_t i = 0; i < count && !found->fetched && !is_over(b, limit); i++) {
        bool has = false;
        uint64_t total = 0;
        enum sh_err err = ask_has(b, alive[i], id, limit, &has, &total);
        if (err == SH_OK && has && damaged_here) {
            err = blob_delete(b->config.store, id); /* a sound copy may take its place */
            err = err == SH_ERR_NOT_FOUND ? SH_OK : err;
        }
        if (err == SH_OK && has) {
            err = pull(b, alive[i], id, total, limit);
            found->fetched = err == SH_OK;
        }
        found->damaged = found->damaged || err == SH_ERR_CORRUPT;
        found->unanswered += err == SH_OK || err == SH_ERR_CORRUPT ? 0 : 1;
    }
}

static enum sh_err fetch_for(struct blobs *blobs, const struct blob_id *id, uint64_t *size,
                             struct limit *limit)
{
    for (;;) {
        enum sh_err err = check_here(blobs, id, size);
        if (err != SH_ERR_NOT_FOUND && err != SH_ERR_CORRUPT) {
            return err;
        }
        struct search found;
        uint64_t seen = members_version(blobs->config.members);
        search_pass(blobs, id, err == SH_ERR_CORRUPT, limit, &found);
        if (found.fetched) {
            continue;
        }
        if (is_over(blobs, limit)) {
            return SH_ERR_CANCELLED;
        }
        if (found.unanswered == 0) {
            return found.damaged ? SH_ERR_CORRUPT : SH_ERR_NOT_FOUND;
        }
        if (left_until(limit->deadline_us) == 0) {
            return SH_ERR_TIMEOUT;
        }
        wait_for_change(blobs, seen, limit->deadline_us);
    }
}

enum sh_err blobs_fetch(struct blobs *blobs, const struct blob_id *id, uint64_t *size,
                        uint64_t timeout_us)
{
    struct limit limit = limit_of(timeout_us);
    return fetch_for(blobs, id, size, &limit);
}

enum sh_err blobs_fetch_patient(struct blobs *blobs, const struct blob_id *id, uint64_t *size,
                                const struct service_patience *patience)
{
    struct limit limit = limit_of_patient(patience);
    return fetch_for(blobs, id, size, &limit);
}
