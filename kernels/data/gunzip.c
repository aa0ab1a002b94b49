/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/data/gunzip.h"

#include <zlib.h>

enum { GZIP_WINDOW = 15 + 16, PIECE_BYTES = 1 << 30 }; /* zlib counts in unsigned int */

bool kn_gunzip_known(const uint8_t *bytes, size_t size)
{
    return size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

static uInt piece(size_t left)
{
    return left < PIECE_BYTES ? (uInt)left : (uInt)PIECE_BYTES;
}

enum kn_err kn_gunzip(const uint8_t *bytes, size_t size, uint8_t *out, size_t room, size_t *got,
                      bool *whole)
{
    z_stream z = {0};
    if (inflateInit2(&z, GZIP_WINDOW) != Z_OK) {
        return KN_ERR_MEMORY;
    }
    size_t eaten = 0;
    size_t made = 0;
    int state = Z_OK;
    bool more = false;
    /* One pass more than needed when the output is full, so that a stream that ends there says so.
     */
    while (state == Z_OK) {
        uint8_t spill;
        z.next_in = (z_const Bytef *)(uintptr_t)(bytes + eaten);
        z.avail_in = piece(size - eaten);
        z.next_out = made < room ? out + made : &spill;
        z.avail_out = made < room ? piece(room - made) : 1;
        uInt in = z.avail_in;
        uInt before = z.avail_out;
        state = inflate(&z, Z_NO_FLUSH);
        eaten += in - z.avail_in;
        if (made == room && z.avail_out == 0) {
            more = true;
            break;
        }
        made += before - z.avail_out;
    }
    (void)inflateEnd(&z);
    *got = made;
    *whole = state == Z_STREAM_END && eaten == size && !more;
    if (state == Z_MEM_ERROR) {
        return KN_ERR_MEMORY;
    }
    return state == Z_OK || state == Z_STREAM_END ? KN_OK : KN_ERR_CORRUPT;
}
