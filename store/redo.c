/* SPDX-License-Identifier: Apache-2.0 */
#include "store/redo.h"

#include "base/host/host.h"
#include "base/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PATH_BYTES = 4096,
    STAGE_BYTES = 128 << 10, /* bytes of one pwrite or pread */
    STAGE_SECTORS = STAGE_BYTES / REDO_SECTOR_BYTES,
    HASH_AT = 8,
    HASH_END = 16
};

/* Numbers from the disk stay far from the end of u64. */
#define NUMBER_MAX (UINT64_MAX >> 2)
#define SEED       0x7368616f6c2d7264u
#define MARK       "redo-new"

struct redo {
    char *path;
    uint32_t slot_bytes;
    uint32_t slot_sectors;
    uint32_t life;
    struct redo_place from;
    struct redo_place end;     /* behind the last batch */
    pthread_mutex_t sync_lock; /* held around fdatasync; taken before lock */
    pthread_mutex_t lock;      /* of what follows */
    int fds[REDO_SLOTS];
    uint32_t slots;   /* files there */
    uint32_t dirty;   /* a bit a file: written, not synced */
    uint64_t written; /* sectors that were written */
    uint64_t durable; /* sectors that were synced */
    enum sh_err failed;
    char text[REDO_TEXT_BYTES];
    uint8_t stage[STAGE_BYTES]; /* of the one that appends; while the log is read, what was read */
    uint32_t stage_slot;        /* the file that it is from; REDO_SLOTS: none */
    uint32_t stage_sector;      /* its first sector there */
    uint32_t stage_count;
};

struct sector {
    uint64_t number;
    uint64_t hash;
    uint64_t durable;
    uint32_t link;
    uint16_t used;
    uint16_t flags;
    const uint8_t *payload;
};

enum look { LOOK_ZERO, LOOK_ROTTEN, LOOK_SOUND };

static void lock_it(struct redo *redo)
{
    SH_CHECK(pthread_mutex_lock(&redo->lock) == 0);
}

static void unlock_it(struct redo *redo)
{
    SH_CHECK(pthread_mutex_unlock(&redo->lock) == 0);
}

static enum sh_err say_errno(char *why, const char *what, const char *path)
{
    int number = errno;
    (void)snprintf(why, REDO_TEXT_BYTES, "%s %.400s: %s", what, path, strerror(number));
    return number == EROFS ? SH_ERR_DENIED : sh_err_from_errno(number);
}

static enum sh_err corrupt(const struct redo *redo, char *why, const char *what, uint64_t number)
{
    (void)snprintf(why, REDO_TEXT_BYTES, "Corruption: the redo log in %.300s: sector %llu %s",
                   redo->path, (unsigned long long)number, what);
    return SH_ERR_CORRUPT;
}

static void slot_path(char *out, const char *path, uint32_t slot, const char *end)
{
    int n = snprintf(out, PATH_BYTES, "%s/redo-%u%s", path, slot, end);
    SH_CHECK(n > 0);
    SH_CHECK_CMP(n, <, PATH_BYTES);
}

static uint64_t sectors_of(size_t bytes)
{
    return (1 + (uint64_t)bytes + REDO_PAYLOAD_BYTES - 1) / REDO_PAYLOAD_BYTES;
}

static uint64_t ring_sectors(const struct redo *redo)
{
    return (uint64_t)REDO_SLOTS * redo->slot_sectors;
}

static uint32_t slot_of(const struct redo *redo, uint64_t number)
{
    return (uint32_t)(number / redo->slot_sectors % REDO_SLOTS);
}

/* Files that exist where sectors up to and including number were written. */
static uint32_t slots_for(const struct redo *redo, uint64_t number)
{
    uint64_t slots = number / redo->slot_sectors + 2;
    return slots < REDO_SLOTS ? (uint32_t)slots : REDO_SLOTS;
}

/* ---- sectors ---- */

static uint64_t hash_of(const uint8_t *sector)
{
    uint64_t head = sh_hash64(SEED, sector, HASH_AT);
    return sh_hash64(head, sector + HASH_END, REDO_SECTOR_BYTES - HASH_END);
}

void redo_seal(uint8_t sector[static REDO_SECTOR_BYTES])
{
    struct sh_writer w = sh_writer_over(sector + HASH_AT, HASH_END - HASH_AT);
    sh_put_u64(&w, hash_of(sector));
}

static bool all_zero(const uint8_t *sector)
{
    return sector[0] == 0 && memcmp(sector, sector + 1, REDO_SECTOR_BYTES - 1) == 0;
}

static enum look parse(const uint8_t *bytes, struct sector *s)
{
    struct sh_reader r = sh_reader_over(bytes, REDO_HEAD_BYTES);
    if (all_zero(bytes)) {
        return LOOK_ZERO;
    }
    s->number = sh_get_u64(&r);
    s->hash = sh_get_u64(&r);
    s->durable = sh_get_u64(&r);
    s->link = sh_get_u32(&r);
    (void)sh_get_u32(&r); /* life: it is there to be hashed */
    s->used = sh_get_u16(&r);
    s->flags = sh_get_u16(&r);
    s->payload = bytes + REDO_HEAD_BYTES;
    return s->hash == hash_of(bytes) && s->number < NUMBER_MAX ? LOOK_SOUND : LOOK_ROTTEN;
}

/* Fills a sector; returns how many of the bytes it took. */
static size_t fill(const struct redo *redo, uint8_t *out, struct redo_place *place,
                   uint64_t durable, uint16_t flags, const uint8_t *bytes, size_t size)
{
    struct sh_writer w = sh_writer_over(out, REDO_SECTOR_BYTES);
    size_t used = size < REDO_PAYLOAD_BYTES ? size : REDO_PAYLOAD_BYTES;
    sh_put_u64(&w, place->number);
    sh_put_u64(&w, 0);
    sh_put_u64(&w, durable);
    sh_put_u32(&w, place->link);
    sh_put_u32(&w, redo->life);
    sh_put_u16(&w, (uint16_t)used);
    sh_put_u16(&w, flags);
    sh_put_bytes(&w, bytes, used);
    memset(out + w.used, 0, REDO_SECTOR_BYTES - w.used);
    uint64_t hash = hash_of(out);
    w = sh_writer_over(out + HASH_AT, HASH_END - HASH_AT);
    sh_put_u64(&w, hash);
    *place = (struct redo_place){.number = place->number + 1, .link = (uint32_t)hash};
    return used;
}

/* ---- files ---- */

static enum sh_err sync_dir(const char *path, char *why)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum sh_err err = fd >= 0 && fsync(fd) == 0 ? SH_OK : say_errno(why, "cannot sync", path);
    if (fd >= 0) {
        (void)close(fd); /* was read only */
    }
    return err;
}

static bool write_all(int fd, const uint8_t *bytes, size_t size, uint64_t at)
{
    while (size > 0) {
        ssize_t n = pwrite(fd, bytes, size, (off_t)at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            errno = n == 0 ? ENOSPC : errno;
            return false;
        }
        bytes += n;
        size -= (size_t)n;
        at += (uint64_t)n;
    }
    return true;
}

/* Written, not allocated only: a block that was never written takes the journal too when it is. */
static bool write_zeros(int fd, uint32_t size)
{
    static const uint8_t zeros[64 << 10];
    bool good = true;
    for (uint32_t at = 0; good && at < size; at += (uint32_t)sizeof zeros) {
        size_t n = size - at < sizeof zeros ? size - at : sizeof zeros;
        good = write_all(fd, zeros, n, at);
    }
    return good && fsync(fd) == 0;
}

/* A file under its name is whole: it is made under another one. */
static enum sh_err create_slot(struct redo *redo, uint32_t slot, char *why)
{
    char path[PATH_BYTES];
    char part[PATH_BYTES];
    slot_path(path, redo->path, slot, "");
    slot_path(part, redo->path, slot, ".part");
    int fd = open(part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return say_errno(why, "cannot create", part);
    }
    enum sh_err err =
        write_zeros(fd, redo->slot_bytes) ? SH_OK : say_errno(why, "cannot fill", part);
    if (err == SH_OK && rename(part, path) != 0) {
        err = say_errno(why, "cannot rename", part);
    }
    err = err != SH_OK ? err : sync_dir(redo->path, why);
    if (err != SH_OK) {
        SH_MAY_FAIL(unlink(part) == 0); /* it is truncated when it is made again */
        (void)close(fd);                /* nothing in it counts */
        return err;
    }
    lock_it(redo);
    redo->fds[slot] = fd;
    redo->slots = slot + 1;
    unlock_it(redo);
    return SH_OK;
}

static enum sh_err create_slots(struct redo *redo, uint32_t upto, char *why)
{
    enum sh_err err = SH_OK;
    while (err == SH_OK && redo->slots < upto) {
        err = create_slot(redo, redo->slots, why);
    }
    return err;
}

/* Those that are there; a later one without an earlier one is damage. */
static enum sh_err open_slots(struct redo *redo, char *why)
{
    char path[PATH_BYTES];
    struct stat st;
    for (uint32_t slot = 0; slot < REDO_SLOTS; slot++) {
        slot_path(path, redo->path, slot, "");
        int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0 && errno != ENOENT) {
            return say_errno(why, "cannot open", path);
        }
        if (fd < 0) {
            continue;
        }
        redo->fds[slot] = fd;
        if (fstat(fd, &st) != 0) {
            return say_errno(why, "cannot look at", path);
        }
        if (slot != redo->slots || st.st_size != (off_t)redo->slot_bytes) {
            return corrupt(redo, why, "is in a file that has another size, or lacks the one before",
                           (uint64_t)slot * redo->slot_sectors);
        }
        redo->slots = slot + 1;
    }
    return SH_OK;
}

/* ---- reading ---- */

/* The sector at that place of the ring, NULL where there is no file yet. Borrowed until the next.
 */
static enum sh_err peek(struct redo *redo, uint64_t place, const uint8_t **out, char *why)
{
    uint32_t slot = slot_of(redo, place);
    uint32_t sector = (uint32_t)(place % redo->slot_sectors);
    *out = NULL;
    if (slot >= redo->slots) {
        return SH_OK;
    }
    if (redo->stage_slot != slot || sector < redo->stage_sector ||
        sector >= redo->stage_sector + redo->stage_count) {
        uint32_t left = redo->slot_sectors - sector;
        uint32_t count = left < STAGE_SECTORS ? left : (uint32_t)STAGE_SECTORS;
        size_t size = (size_t)count * REDO_SECTOR_BYTES;
        redo->stage_slot = REDO_SLOTS;
        ssize_t n = pread(redo->fds[slot], redo->stage, size, (off_t)sector * REDO_SECTOR_BYTES);
        if (n != (ssize_t)size) {
            errno = n < 0 ? errno : EIO;
            return say_errno(why, "cannot read the redo log in", redo->path);
        }
        redo->stage_slot = slot;
        redo->stage_sector = sector;
        redo->stage_count = count;
    }
    *out = redo->stage + (size_t)(sector - redo->stage_sector) * REDO_SECTOR_BYTES;
    return SH_OK;
}

static enum sh_err look_at(struct redo *redo, uint64_t place, struct sector *s, enum look *look,
                           char *why)
{
    const uint8_t *bytes;
    enum sh_err err = peek(redo, place, &bytes, why);
    *look = LOOK_ZERO;
    if (err == SH_OK && bytes != NULL) {
        *look = parse(bytes, s);
        if (*look == LOOK_SOUND && s->number % ring_sectors(redo) != place % ring_sectors(redo)) {
            *look = LOOK_ROTTEN;
        }
    }
    return err;
}

/* The payload of a batch while it is read. */
struct gather {
    uint8_t *at; /* NULL with size 0: not wanted */
    size_t size;
    size_t used;
};

static bool well_formed(const struct sector *s, uint64_t count)
{
    bool last = (s->flags & REDO_LAST) != 0;
    return (s->flags & ~(REDO_FIRST | REDO_LAST)) == 0 &&
           ((s->flags & REDO_FIRST) != 0) == (count == 0) && s->used > 0 &&
           s->used <= REDO_PAYLOAD_BYTES && (last || s->used == REDO_PAYLOAD_BYTES);
}

/* The batch at *place, which then is behind it; *more false: the log ends there. */
static enum sh_err next_batch(struct redo *redo, struct redo_place *place, struct gather *into,
                              bool *more, char *why)
{
    struct redo_place at = *place;
    struct sector s = {0};
    enum look look;
    *more = false;
    into->used = 0;
    for (uint64_t count = 0;; count++) {
        enum sh_err err = look_at(redo, at.number, &s, &look, why);
        if (err != SH_OK) {
            return err;
        }
        if (look == LOOK_ROTTEN) {
            return corrupt(redo, why, "is damaged", at.number);
        }
        if (look == LOOK_ZERO || s.number < at.number ||
            (s.number == at.number && s.link != at.link)) {
            return SH_OK;
        }
        if (s.number > at.number) {
            return corrupt(redo, why, "was overwritten: the tables are older than the log",
                           at.number);
        }
        if (!well_formed(&s, count) || count == redo->slot_sectors) {
            return corrupt(redo, why, "is none that this program writes", at.number);
        }
        if (into->size > 0) {
            SH_CHECK_CMP(into->used + s.used, <=, into->size);
            memcpy(into->at + into->used, s.payload, s.used);
        }
        into->used += s.used;
        at = (struct redo_place){.number = at.number + 1, .link = (uint32_t)s.hash};
        if ((s.flags & REDO_LAST) != 0) {
            *place = at;
            *more = true;
            return SH_OK;
        }
    }
}

/* All of the ring, for traces of what should be before the end and is not. */
static enum sh_err sweep(struct redo *redo, char *why)
{
    struct sector s = {0};
    enum look look;
    uint64_t written = redo->end.number; /* numbers seen are smaller */
    for (uint64_t place = 0; place < (uint64_t)redo->slots * redo->slot_sectors; place++) {
        enum sh_err err = look_at(redo, place, &s, &look, why);
        if (err != SH_OK) {
            return err;
        }
        /* One that does not count yet would when the log has come there. */
        if (look == LOOK_ROTTEN) {
            return corrupt(redo, why, "of the ring is damaged", place);
        }
        if (look == LOOK_ZERO || s.number < redo->end.number) {
            continue;
        }
        if (s.durable > redo->end.number) {
            return corrupt(redo, why, "is not there, though later ones call it durable",
                           redo->end.number);
        }
        /* The tables had what it overwrote (redo_floor). */
        if (s.number >= redo->from.number + ring_sectors(redo)) {
            return corrupt(redo, why, "is newer than the tables allow: they are older than the log",
                           s.number);
        }
        written = s.number + 1 > written ? s.number + 1 : written;
    }
    if (written > 0 && redo->slots < slots_for(redo, written - 1)) {
        return corrupt(redo, why, "should be in a file that is not there",
                       (uint64_t)redo->slots * redo->slot_sectors);
    }
    return SH_OK;
}

static enum sh_err find_end(struct redo *redo, char *why)
{
    struct gather none = {0};
    bool more = true;
    enum sh_err err = SH_OK;
    redo->end = redo->from;
    while (err == SH_OK && more) {
        err = next_batch(redo, &redo->end, &none, &more, why);
    }
    return err != SH_OK ? err : sweep(redo, why);
}

enum sh_err redo_replay(struct redo *redo,
                        enum sh_err (*each)(void *ctx, uint8_t kind, struct sh_span bytes,
                                            const struct redo_place *behind),
                        void *ctx, char *why)
{
    struct redo_place place = redo->from;
    enum sh_err err = SH_OK;
    while (err == SH_OK && place.number < redo->end.number) {
        struct redo_place start = place;
        struct gather batch = {0};
        bool more = false;
        err = next_batch(redo, &place, &batch, &more, why); /* its size */
        if (err == SH_OK && more) {
            batch.size = batch.used;
            batch.at = malloc(batch.size);
            place = start;
            err =
                batch.at == NULL ? SH_ERR_NO_MEMORY : next_batch(redo, &place, &batch, &more, why);
        }
        if (err == SH_OK && !more) {
            err = corrupt(redo, why, "changed while it was read", place.number);
        }
        if (err == SH_OK) {
            err = each(ctx, batch.at[0], (struct sh_span){batch.at + 1, batch.used - 1}, &place);
        }
        free(batch.at);
    }
    return err;
}

/* ---- opening ---- */

static struct redo *make_redo(const struct redo_options *options)
{
    struct redo *redo = calloc(1, sizeof *redo);
    SH_CHECK(redo != NULL);
    redo->path = strdup(options->path);
    SH_CHECK(redo->path != NULL);
    redo->slot_bytes = options->slot_bytes;
    redo->slot_sectors = options->slot_bytes / REDO_SECTOR_BYTES;
    redo->life = options->life;
    redo->from = options->from;
    redo->stage_slot = REDO_SLOTS;
    for (uint32_t i = 0; i < REDO_SLOTS; i++) {
        redo->fds[i] = -1;
    }
    SH_CHECK(pthread_mutex_init(&redo->lock, NULL) == 0);
    SH_CHECK(pthread_mutex_init(&redo->sync_lock, NULL) == 0);
    return redo;
}

void redo_close(struct redo *redo)
{
    if (redo == NULL) {
        return;
    }
    for (uint32_t i = 0; i < REDO_SLOTS; i++) {
        if (redo->fds[i] >= 0) {
            (void)close(redo->fds[i]); /* what was to be durable was synced */
        }
    }
    SH_CHECK(pthread_mutex_destroy(&redo->lock) == 0);
    SH_CHECK(pthread_mutex_destroy(&redo->sync_lock) == 0);
    free(redo->path);
    free(redo);
}

enum sh_err redo_open(const struct redo_options *options, struct redo **out, char *why)
{
    SH_CHECK_CMP(options->slot_bytes % REDO_SECTOR_BYTES, ==, 0);
    SH_CHECK_CMP(options->slot_bytes, >=, 2 * REDO_SECTOR_BYTES);
    *out = NULL;
    why[0] = '\0';
    if (strlen(options->path) + sizeof "/redo-0.part" > PATH_BYTES) {
        (void)snprintf(why, REDO_TEXT_BYTES, "the path of the store is too long");
        return SH_ERR_LIMIT;
    }
    struct redo *redo = make_redo(options);
    enum sh_err err = open_slots(redo, why);
    if (err == SH_OK && options->from.number >= NUMBER_MAX) {
        err = corrupt(redo, why, "is none that this program writes", options->from.number);
    }
    if (err == SH_OK && options->known && redo->slots == 0) {
        err = corrupt(redo, why, "is not there: the files redo-* are gone", options->from.number);
    }
    err = err != SH_OK ? err : find_end(redo, why);
    err = err != SH_OK ? err : create_slots(redo, 2, why);
    if (err != SH_OK) {
        redo_close(redo);
        return err;
    }
    /* What an ended process wrote may be in memory only, like what this one will write. */
    redo->durable = redo->from.number;
    redo->written = redo->end.number;
    redo->dirty = (1u << redo->slots) - 1;
    *out = redo;
    return SH_OK;
}

/* ---- writing ---- */

struct redo_place redo_end(const struct redo *redo)
{
    return redo->end;
}

uint64_t redo_missing_bytes(struct redo *redo)
{
    lock_it(redo);
    uint64_t slots = REDO_SLOTS - redo->slots;
    unlock_it(redo);
    return slots * redo->slot_bytes;
}

void redo_error_text(struct redo *redo, char *out)
{
    lock_it(redo);
    memcpy(out, redo->text, REDO_TEXT_BYTES);
    unlock_it(redo);
}

static void note_failure(struct redo *redo, enum sh_err err, const char *text)
{
    lock_it(redo);
    if (redo->failed == SH_OK) {
        redo->failed = err;
        (void)snprintf(redo->text, sizeof redo->text, "%s", text);
    }
    unlock_it(redo);
}

void redo_fail(struct redo *redo, enum sh_err err)
{
    note_failure(redo, err, "a write failed before");
}

bool redo_fits(const struct redo *redo, size_t bytes)
{
    return sectors_of(bytes) <= redo->slot_sectors;
}

uint64_t redo_floor(const struct redo *redo, size_t bytes)
{
    uint64_t last = redo->end.number + sectors_of(bytes) - 1;
    uint64_t slot = last / redo->slot_sectors;
    return slot < REDO_SLOTS ? 0 : (slot - REDO_SLOTS + 1) * redo->slot_sectors;
}

enum sh_err redo_room(struct redo *redo, size_t bytes)
{
    char why[REDO_TEXT_BYTES];
    uint32_t slots = slots_for(redo, redo->end.number + sectors_of(bytes) - 1);
    enum sh_err err = create_slots(redo, slots, why);
    if (err != SH_OK) {
        lock_it(redo);
        memcpy(redo->text, why, sizeof why);
        unlock_it(redo);
    }
    return err;
}

/* Sectors that lie in the stage, the first of them number. */
static enum sh_err write_stage(struct redo *redo, uint64_t number, uint32_t count)
{
    uint32_t slot = slot_of(redo, number);
    uint64_t at = number % redo->slot_sectors * REDO_SECTOR_BYTES;
    if (!write_all(redo->fds[slot], redo->stage, (size_t)count * REDO_SECTOR_BYTES, at)) {
        char why[REDO_TEXT_BYTES];
        enum sh_err err = say_errno(why, "cannot write the redo log in", redo->path);
        note_failure(redo, err, why);
        return err;
    }
    lock_it(redo);
    redo->dirty |= 1u << slot;
    redo->written = number + count;
    unlock_it(redo);
    return SH_OK;
}

/* The batch as one run of bytes: its kind, then the others. */
static size_t take_payload(uint8_t *out, uint8_t kind, struct sh_span bytes, size_t *at)
{
    size_t used = 0;
    if (*at == 0) {
        out[used++] = kind;
    }
    size_t from = *at == 0 ? 0 : *at - 1;
    size_t left = bytes.size - from;
    size_t n = left < REDO_PAYLOAD_BYTES - used ? left : REDO_PAYLOAD_BYTES - used;
    if (n > 0) {
        memcpy(out + used, bytes.at + from, n);
    }
    *at += used + n;
    return used + n;
}

/* As many sectors as the stage and the file of the first one take. */
static uint32_t fill_stage(struct redo *redo, struct redo_place *place, uint64_t durable,
                           uint8_t kind, struct sh_span bytes, size_t *at)
{
    uint8_t payload[REDO_PAYLOAD_BYTES];
    uint64_t left = redo->slot_sectors - place->number % redo->slot_sectors;
    uint32_t limit = left < STAGE_SECTORS ? (uint32_t)left : (uint32_t)STAGE_SECTORS;
    uint32_t count = 0;
    for (; count < limit && *at <= bytes.size; count++) {
        uint16_t flags = *at == 0 ? REDO_FIRST : 0;
        size_t n = take_payload(payload, kind, bytes, at);
        flags |= *at > bytes.size ? REDO_LAST : 0;
        uint8_t *out = redo->stage + (size_t)count * REDO_SECTOR_BYTES;
        SH_CHECK_CMP(fill(redo, out, place, durable, flags, payload, n), ==, n);
    }
    return count;
}

enum sh_err redo_append(struct redo *redo, uint8_t kind, struct sh_span bytes,
                        struct redo_place *behind)
{
    SH_CHECK(redo_fits(redo, bytes.size));
    lock_it(redo);
    enum sh_err err = redo->failed;
    uint64_t durable = redo->durable;
    unlock_it(redo);
    err = err != SH_OK ? err : redo_room(redo, bytes.size);
    if (err != SH_OK) {
        return err;
    }
    struct redo_place place = redo->end;
    redo->stage_slot = REDO_SLOTS; /* nothing is read any more */
    for (size_t at = 0; err == SH_OK && at <= bytes.size;) {
        uint64_t first = place.number;
        uint32_t count = fill_stage(redo, &place, durable, kind, bytes, &at);
        SH_CHECK_CMP(count, >, 0);
        err = write_stage(redo, first, count);
    }
    if (err == SH_OK) {
        redo->end = place;
        *behind = place;
    }
    return err;
}

/* What was written when this began; the waiting ones find that theirs was among it. */
static enum sh_err sync_written(struct redo *redo)
{
    char why[REDO_TEXT_BYTES];
    enum sh_err err = SH_OK;
    int fds[REDO_SLOTS];
    lock_it(redo);
    uint32_t dirty = redo->dirty;
    uint64_t written = redo->written;
    memcpy(fds, redo->fds, sizeof fds);
    redo->dirty = 0;
    unlock_it(redo);
    for (uint32_t slot = 0; slot < REDO_SLOTS && err == SH_OK; slot++) {
        if ((dirty >> slot & 1) != 0 && fdatasync(fds[slot]) != 0) {
            err = say_errno(why, "cannot sync the redo log in", redo->path);
        }
    }
    if (err != SH_OK) {
        note_failure(redo, err, why);
        return err;
    }
    lock_it(redo);
    redo->durable = written;
    unlock_it(redo);
    return SH_OK;
}

enum sh_err redo_sync(struct redo *redo, uint64_t upto)
{
    SH_CHECK(pthread_mutex_lock(&redo->sync_lock) == 0);
    lock_it(redo);
    SH_CHECK_CMP(upto, <=, redo->written);
    enum sh_err err = redo->failed;
    bool done = redo->durable >= upto;
    unlock_it(redo);
    if (err == SH_OK && !done) {
        err = sync_written(redo);
    }
    SH_CHECK(pthread_mutex_unlock(&redo->sync_lock) == 0);
    return err;
}

/* ---- a copy of tables without their log ---- */

bool redo_present(const char *path)
{
    char name[PATH_BYTES];
    struct stat st;
    int n = snprintf(name, sizeof name, "%s/redo-0", path);
    return n > 0 && (size_t)n < sizeof name && stat(name, &st) == 0;
}

static enum sh_err mark_path(char *out, const char *path, char *why)
{
    int n = snprintf(out, PATH_BYTES, "%s/" MARK, path);
    if (n < 0 || n >= PATH_BYTES) {
        (void)snprintf(why, REDO_TEXT_BYTES, "the path of the store is too long");
        return SH_ERR_LIMIT;
    }
    return SH_OK;
}

enum sh_err redo_mark(const char *path, char *why)
{
    char name[PATH_BYTES];
    enum sh_err err = mark_path(name, path, why);
    if (err != SH_OK) {
        return err;
    }
    int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return say_errno(why, "cannot create", name);
    }
    if (fsync(fd) != 0) {
        err = say_errno(why, "cannot sync", name);
    }
    (void)close(fd); /* it is empty */
    return err != SH_OK ? err : sync_dir(path, why);
}

enum sh_err redo_wipe_marked(const char *path, bool *marked, char *why)
{
    char name[PATH_BYTES];
    struct stat st;
    enum sh_err err = mark_path(name, path, why);
    *marked = err == SH_OK && stat(name, &st) == 0;
    for (uint32_t slot = REDO_SLOTS; *marked && err == SH_OK && slot > 0; slot--) {
        slot_path(name, path, slot - 1, "");
        if (unlink(name) != 0 && errno != ENOENT) {
            err = say_errno(why, "cannot remove", name);
        }
    }
    return err;
}

enum sh_err redo_unmark(const char *path, char *why)
{
    char name[PATH_BYTES];
    enum sh_err err = mark_path(name, path, why);
    if (err == SH_OK && unlink(name) != 0 && errno != ENOENT) {
        err = say_errno(why, "cannot remove", name);
    }
    return err != SH_OK ? err : sync_dir(path, why);
}
