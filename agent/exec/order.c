/* SPDX-License-Identifier: Apache-2.0
 *
 * Strings go with their NUL, so that what is decoded can point into the bytes. */
#include "exec/order.h"

#include <stdlib.h>

static void put_text(struct sh_writer *w, const char *text)
{
    sh_put_blob(w, text, strlen(text) + 1);
}

static void put_list(struct sh_writer *w, const char *const *list)
{
    uint32_t count = 0;
    while (list != NULL && list[count] != NULL) {
        count++;
    }
    sh_put_u32(w, count);
    for (uint32_t i = 0; i < count; i++) {
        put_text(w, list[i]);
    }
}

enum sh_err exec_order_encode(const struct exec_order *order, void *out, size_t size, size_t *used)
{
    struct sh_writer w = sh_writer_over(out, size);
    put_list(&w, order->argv);
    put_list(&w, order->env);
    put_list(&w, order->readable);
    put_list(&w, order->writable);
    put_text(&w, order->dir);
    put_text(&w, order->procs);
    sh_put_u8(&w, order->wrapped);
    sh_put_u8(&w, order->confined);
    sh_put_u8(&w, order->network);
    sh_put_u32(&w, order->uid);
    sh_put_u32(&w, order->gid);
    sh_put_u32(&w, (uint32_t)order->nice);
    sh_put_u32(&w, order->open_files);
    sh_put_u32(&w, order->tasks);
    sh_put_u64(&w, order->data_bytes);
    sh_put_u64(&w, order->file_bytes);
    *used = w.used;
    return w.full ? SH_ERR_LIMIT : SH_OK;
}

static const char *get_text(struct sh_reader *r, size_t size)
{
    const struct sh_span span = sh_get_blob(r, size);
    if (r->bad || span.size == 0 || span.at[span.size - 1] != 0) {
        r->bad = true;
        return "";
    }
    return (const char *)span.at;
}

/* Takes its pointers from *at, of which *left are there. */
static const char *const *get_list(struct sh_reader *r, size_t size, const char ***at, size_t *left)
{
    const uint32_t count = sh_get_u32(r);
    if (r->bad || count >= *left) {
        r->bad = true;
        return NULL;
    }
    const char **list = *at;
    for (uint32_t i = 0; i < count; i++) {
        list[i] = get_text(r, size);
    }
    list[count] = NULL;
    *at += count + 1;
    *left -= count + 1;
    return list;
}

enum sh_err exec_order_decode(struct exec_order *order, void *bytes, size_t size, void **owned)
{
    struct sh_reader r = sh_reader_over(bytes, size);
    /* Each string takes five bytes at least, each list a count of four. */
    size_t left = size / 4 + 4;
    const char **at = calloc(left, sizeof *at);
    *owned = (void *)at;
    if (at == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    order->argv = get_list(&r, size, &at, &left);
    order->env = get_list(&r, size, &at, &left);
    order->readable = get_list(&r, size, &at, &left);
    order->writable = get_list(&r, size, &at, &left);
    order->dir = get_text(&r, size);
    order->procs = get_text(&r, size);
    order->wrapped = sh_get_bool(&r);
    order->confined = sh_get_bool(&r);
    order->network = sh_get_bool(&r);
    order->uid = sh_get_u32(&r);
    order->gid = sh_get_u32(&r);
    order->nice = (int)sh_get_u32(&r);
    order->open_files = sh_get_u32(&r);
    order->tasks = sh_get_u32(&r);
    order->data_bytes = sh_get_u64(&r);
    order->file_bytes = sh_get_u64(&r);
    const bool empty = r.bad || order->argv[0] == NULL;
    return empty ? SH_ERR_CORRUPT : sh_reader_end(&r);
}
