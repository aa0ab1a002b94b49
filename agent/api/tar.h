/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/api: headers of tar archives (ustar, with pax records where a path, a target or
 * a size has no room in it). Equal entries give equal bytes: nobody owns them. */
#ifndef API_TAR_H
#define API_TAR_H

#include <stddef.h>
#include <stdint.h>

#define API_TAR_BLOCK    512u
#define API_TAR_PATH_MAX 1400u                 /* bytes of a path, and of a target */
#define API_TAR_HEAD_MAX (12u * API_TAR_BLOCK) /* of all headers of one entry */

enum api_tar_type { API_TAR_FILE = '0', API_TAR_LINK = '2', API_TAR_FOLDER = '5' };

struct api_tar_entry {
    enum api_tar_type type;
    const char *path;   /* at most API_TAR_PATH_MAX bytes, CHECKed */
    const char *target; /* of a link, likewise; else NULL */
    unsigned mode;
    uint64_t size; /* bytes of a file, which follow; padded to whole blocks */
    uint64_t time_s;
};

/* Writes the headers; how many bytes. */
size_t api_tar_head(const struct api_tar_entry *entry, uint8_t out[static API_TAR_HEAD_MAX]);
/* Bytes that follow so many to fill the last block. */
size_t api_tar_padding(uint64_t size);

#endif
