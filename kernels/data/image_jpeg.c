/* SPDX-License-Identifier: Apache-2.0
 *
 * libjpeg reports an error by a call that must not return; the jump back to kn_image_jpeg is the
 * way out that its manual describes. */
#include "kernels/data/dataset_internal.h"
#include "kernels/data/image_internal.h"

#include <stdio.h>
#include <jpeglib.h>
#include <jerror.h>
#include <setjmp.h>
#include <string.h>

enum { SCANS_MAX = 64 }; /* a progressive file may repeat tiny scans without end */

struct jpeg_way_out {
    struct jpeg_error_mgr errors; /* first: libjpeg hands back a pointer to it */
    jmp_buf jump;
    char message[JMSG_LENGTH_MAX];
};

static void on_error(j_common_ptr c)
{
    struct jpeg_way_out *out = (struct jpeg_way_out *)(void *)c->err;
    c->err->format_message(c, out->message);
    longjmp(out->jump, 1); /* tidy: allow banned libjpeg errors must not return */
}

static void on_message(j_common_ptr c)
{
    (void)c;
}

/* Damage that libjpeg would paint over is an error here; stray bytes between segments are not. */
static void on_warning(j_common_ptr c, int level)
{
    if (level < 0 && c->err->msg_code != JWRN_EXTRANEOUS_DATA) {
        on_error(c);
    }
}

static void on_progress(j_common_ptr c)
{
    if (c->is_decompressor && ((j_decompress_ptr)(void *)c)->input_scan_number > SCANS_MAX) {
        on_error(c);
    }
}

/* Everything that may jump; owns nothing itself. */
static enum kn_err decode(j_decompress_ptr d, struct kn_image *image, const uint8_t *bytes,
                          size_t size, const char *name, struct kn_diag *diag)
{
    jpeg_mem_src(d, bytes, size);
    (void)jpeg_read_header(d, TRUE);
    if (d->num_components != 1 && d->num_components != 3) {
        return kn_fail(diag, KN_ERR_UNSUPPORTED, "%s: a JPEG of %d colour components, not 1 or 3",
                       kn_path_tail(name), d->num_components);
    }
    uint32_t channels = d->num_components == 1 ? 1 : 3;
    d->out_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    enum kn_err err =
        kn_image_prepare_pixels(image, d->image_width, d->image_height, channels, name, diag);
    if (err != KN_OK) {
        return err;
    }
    (void)jpeg_start_decompress(d);
    size_t row = (size_t)image->width * channels;
    while (d->output_scanline < d->output_height) {
        JSAMPROW rows[1] = {image->pixels + d->output_scanline * row};
        (void)jpeg_read_scanlines(d, rows, 1);
    }
    (void)jpeg_finish_decompress(d);
    return KN_OK;
}

enum kn_err kn_image_jpeg(struct kn_image *image, const uint8_t *bytes, size_t size,
                          const char *name, struct kn_diag *diag)
{
    struct jpeg_decompress_struct d;
    struct jpeg_way_out out;
    struct jpeg_progress_mgr progress = {.progress_monitor = on_progress};
    memset(&d, 0, sizeof d);
    d.err = jpeg_std_error(&out.errors);
    out.errors.error_exit = on_error;
    out.errors.output_message = on_message;
    out.errors.emit_message = on_warning;
    out.message[0] = '\0';
    if (setjmp(out.jump) != 0) { /* tidy: allow banned libjpeg errors must not return */
        jpeg_destroy_decompress(&d);
        struct kn_quote quote = kn_quote_make(out.message, strlen(out.message));
        return kn_fail(diag, KN_ERR_CORRUPT, "%s: a damaged JPEG: %s", kn_path_tail(name),
                       quote.text);
    }
    jpeg_create_decompress(&d);
    d.progress = &progress;
    enum kn_err err = decode(&d, image, bytes, size, name, diag);
    jpeg_destroy_decompress(&d);
    return err;
}
