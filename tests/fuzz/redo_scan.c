/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as the ring of a redo log. It opens or is CORRUPT; what opens can be read, goes on, and
 * opens again with what was read and what was written. The first byte chooses: even, the rest are
 * the bytes of the ring; odd, they say how to make sectors that are sound, so that what is behind
 * the hash is reached too. */
#include "store/redo.h"

#include "base/host/host.h"
#include "base/rng.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    SLOT_SECTORS = 4,
    SLOT = SLOT_SECTORS * REDO_SECTOR_BYTES,
    SECTORS = SLOT_SECTORS * (int)REDO_SLOTS,
    RING = SECTORS * (int)REDO_SECTOR_BYTES
};

struct tally {
    uint64_t batches;
    uint64_t digest;
    uint64_t number;
};

static char dir[] = "/tmp/shoal-fuzz-redo.XXXXXX";
static char why[REDO_TEXT_BYTES];

static void path_of(uint32_t slot, char *out, size_t size)
{
    (void)snprintf(out, size, "%s/redo-%u", dir, slot);
}

static void leave(void)
{
    char path[64];
    for (uint32_t slot = 0; slot < REDO_SLOTS; slot++) {
        path_of(slot, path, sizeof path);
        SH_MAY_FAIL(unlink(path) == 0); /* it may not be there */
    }
    SH_MAY_FAIL(rmdir(dir) == 0);
}

/* slots: how many files there are. */
static void lay(const uint8_t *ring, uint32_t slots)
{
    char path[64];
    static bool made;
    if (!made) {
        SH_CHECK(mkdtemp(dir) != NULL);
        SH_CHECK(atexit(leave) == 0);
        made = true;
    }
    for (uint32_t slot = 0; slot < REDO_SLOTS; slot++) {
        path_of(slot, path, sizeof path);
        if (slot >= slots) {
            SH_MAY_FAIL(unlink(path) == 0); /* it may not be there */
            continue;
        }
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        SH_CHECK(fd >= 0);
        SH_CHECK(write(fd, ring + (size_t)slot * SLOT, SLOT) == SLOT);
        SH_CHECK(close(fd) == 0);
    }
}

/* Six bytes a sector: place, rounds of the ring, durable, what link, used, flags. */
static void make_sectors(uint8_t *ring, const uint8_t *data, size_t size)
{
    uint32_t link = 0;
    for (; size >= 6; data += 6, size -= 6) {
        uint64_t place = data[0] % SECTORS;
        uint64_t number = place + (uint64_t)SECTORS * (data[1] % 4);
        uint16_t used = data[4] < 8 ? data[4] : (uint16_t)(REDO_PAYLOAD_BYTES - data[4] + 8);
        uint8_t *sector = ring + place * REDO_SECTOR_BYTES;
        struct sh_writer w = sh_writer_over(sector, REDO_SECTOR_BYTES);
        sh_put_u64(&w, number);
        sh_put_u64(&w, 0);
        sh_put_u64(&w, data[2]);
        sh_put_u32(&w, data[3] < 128 ? link : data[3]);
        sh_put_u32(&w, 7);
        sh_put_u16(&w, used);
        sh_put_u16(&w, data[5] % 5);
        redo_seal(sector);
        struct sh_reader r = sh_reader_over(sector + 8, 8);
        link = (uint32_t)sh_get_u64(&r);
    }
}

static enum sh_err count_batch(void *ctx, uint8_t kind, struct sh_span bytes,
                               const struct redo_place *behind)
{
    struct tally *tally = ctx;
    SH_CHECK_CMP(behind->number, >, tally->number);
    tally->number = behind->number;
    tally->batches++;
    tally->digest = sh_hash64(tally->digest + kind, bytes.at, bytes.size);
    return SH_OK;
}

static enum sh_err open_and_read(struct redo_place from, struct redo **redo, struct tally *tally)
{
    struct redo_options options = {
        .path = dir, .slot_bytes = SLOT, .from = from, .life = (uint32_t)from.number + 1};
    *tally = (struct tally){.number = from.number};
    enum sh_err err = redo_open(&options, redo, why);
    if (err == SH_OK) {
        SH_CHECK(redo_replay(*redo, count_batch, tally, why) == SH_OK);
        SH_CHECK_CMP(tally->number, ==, redo_end(*redo).number);
    }
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t ring[RING];
    struct redo *redo;
    struct tally before;
    struct tally after;
    struct redo_place behind;
    if (size < 2) {
        return 0;
    }
    memset(ring, 0, sizeof ring);
    if (data[0] % 2 == 0) {
        memcpy(ring, data + 2, size - 2 < sizeof ring ? size - 2 : sizeof ring);
    } else {
        make_sectors(ring, data + 2, size - 2);
    }
    struct redo_place from = {.number = data[1] % (2 * SECTORS)};
    lay(ring, 1 + data[0] / 2 % REDO_SLOTS);
    enum sh_err err = open_and_read(from, &redo, &before);
    if (err != SH_OK) {
        SH_CHECK(err == SH_ERR_CORRUPT);
        return 0;
    }
    struct sh_span bytes = {.at = data, .size = size < 600 ? size : 600};
    SH_CHECK(redo_append(redo, 3, bytes, &behind) == SH_OK);
    SH_CHECK(redo_sync(redo, behind.number) == SH_OK);
    redo_close(redo);
    if (behind.number - from.number > SECTORS) {
        return 0; /* it overwrote what the tables are said not to have */
    }
    SH_CHECK(open_and_read(from, &redo, &after) == SH_OK);
    SH_CHECK_CMP(after.batches, ==, before.batches + 1);
    SH_CHECK_CMP(after.digest, ==, sh_hash64(before.digest + 3, bytes.at, bytes.size));
    SH_CHECK_CMP(after.number, ==, behind.number);
    redo_close(redo);
    return 0;
}
