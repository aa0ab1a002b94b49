/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of operations behind every model: one contract, three implementations.
 *
 * `ref` computes in double, one loop per index, and is the oracle; `cpu` computes in float with
 * vector kernels chosen once for the instruction set, and OpenBLAS for large dense layers; `cuda`
 * computes in float on a GPU and comes from a module of its own (kernels/cuda/load.h). A graph
 * (kernels/graph/graph.h) runs on any of them.
 *
 * Layout. An activation of `count` values per sample holds samples in blocks of `lanes`; value e of
 * sample i lies at element (i / lanes * count + e) * lanes + i % lanes, where e runs over
 * [c][h][w], or of a sequence over [place][width]. ref and cuda have lanes = 1, which is plain
 * NCHW; cpu has 16. Samples that fill up the last block are lanes of zeros on input; what an
 * operation writes there is finite and takes part in no sum. So n sequences of `places` times
 * `width` values lie as kn_layout_count(ops, n, places) samples of width values do: what acts on
 * every place alone (dense, layernorm) is called with that many, and derivatives in lanes of
 * padding are zeros. Parameters and their gradients are row-major with PyTorch's shapes:
 * convolution (out, in, kh, kw), dense (out, in), vectors (channels).
 *
 * Rules for all operations: reentrant, no allocation, no thread; arguments are checked (a violation
 * panics); outputs may not overlap inputs unless the text says so. The same arguments give the same
 * bits for one table on one instruction set. Tensors are `double` for ref and `float` for the
 * others. Tensors, `which`, `keep` and `scratch` lie in the table's memory, which is the host's
 * unless the table says otherwise (struct kn_memory); samples, labels, targets, shapes, keys and
 * the loss are always the host's. Every pointer is borrowed for the call. `scratch` is at least as
 * large as the matching *_scratch says and aligned to KN_ALIGN. Gradients of parameters are
 * WRITTEN, as the sum over the n samples. Cost: forward 2 * MACs FLOP, each gradient the same,
 * unless the text says otherwise. */
#ifndef KN_KN_H
#define KN_KN_H

#include "kernels/err.h"
#include "kernels/philox.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KN_OPS_VERSION 3u
#define KN_ALIGN       64u
#define KN_LANES_MAX   16u

/* A 2-D window over [in_h][in_w]. out = (in + before + after - kernel) / stride + 1, rounded down.
 */
struct kn_window {
    uint32_t in_h, in_w;
    uint32_t out_h, out_w;
    uint32_t kernel_h, kernel_w;
    uint32_t stride_h, stride_w;
    uint32_t pad_top, pad_left; /* zeros (maxpool: nothing) before the first row and column */
};

struct kn_conv_shape {
    struct kn_window win;
    uint32_t in_c, out_c;
};

struct kn_pool_shape {
    struct kn_window win;
    uint32_t channels;
};

struct kn_bn_shape {
    uint32_t channels;
    uint32_t area; /* values per channel and sample */
    double eps;
};

struct kn_embed_shape {
    uint32_t places;
    uint32_t vocab;
    uint32_t width;
};

struct kn_attention_shape {
    uint32_t places;
    uint32_t heads;
    uint32_t depth; /* of a head */
    bool causal;    /* a place sees itself and what is before it */
};

struct kn_dropout_key {
    uint64_t seed;
    uint64_t step;
    uint32_t rank;
    uint32_t node;
};

/* What a loss adds up over the n samples of a call. */
struct kn_loss_sum {
    double loss;
    uint32_t correct; /* cross-entropy: places whose first largest logit is the label; mse: 0 */
};

/* The memory of a table whose tensors the host may not touch. What one thread asks of the table
 * happens in that order; another thread may use what it made after it has settled. put, get and
 * copy move `bytes` and are done with the host's memory when they return. A failure of the device
 * is no bug of the caller and no answer of the operation that met it: it is kept for settle, and
 * until then what operations and get give is unspecified. */
struct kn_memory {
    /* Zero-filled, aligned to KN_ALIGN, given to the caller; NULL when there is not so much. */
    void *(*take)(size_t bytes);
    void (*give)(void *at); /* back what was taken; NULL does nothing */
    void (*put)(void *to, const void *host, size_t bytes);
    void (*get)(void *host, const void *from, size_t bytes);
    void (*copy)(void *to, const void *from, size_t bytes);
    /* Waits for everything this thread asked for. DEVICE when any of it has failed since the last
     * call on this thread: the text names the device's reason. */
    enum kn_err (*settle)(struct kn_diag *diag);
};

struct kn_ops {
    uint32_t version;   /* KN_OPS_VERSION */
    uint32_t elem_size; /* bytes of an element: 8 ref, 4 cpu and cuda */
    uint32_t lanes;
    const char *name;               /* "ref", "cpu-v4", "cpu-v3", "cpu-base", "cuda" */
    const struct kn_memory *memory; /* NULL: tensors lie in the host's memory */

    /* Row-major samples x[n][count] of float (NCHW) into the layout above, padding lanes zero. */
    void (*load)(void *y, const float *x, uint32_t n, size_t count);
    /* The inverse, padding dropped. */
    void (*store)(float *y, const void *x, uint32_t n, size_t count);

    /* y[out] = w[out][in] x[in] + b[out]; b may be NULL. */
    size_t (*dense_scratch)(uint32_t n, uint32_t in, uint32_t out);
    void (*dense)(void *y, const void *x, const void *w, const void *b, uint32_t n, uint32_t in,
                  uint32_t out, void *scratch);
    /* dx and db may be NULL (not wanted). */
    void (*dense_grad)(void *dx, void *dw, void *db, const void *dy, const void *x, const void *w,
                       uint32_t n, uint32_t in, uint32_t out, void *scratch);

    /* Cross-correlation as torch.nn.Conv2d; b may be NULL. */
    size_t (*conv_scratch)(const struct kn_conv_shape *s, uint32_t n);
    void (*conv)(void *y, const void *x, const void *w, const void *b,
                 const struct kn_conv_shape *s, uint32_t n, void *scratch);
    void (*conv_grad)(void *dx, void *dw, void *db, const void *dy, const void *x, const void *w,
                      const struct kn_conv_shape *s, uint32_t n, void *scratch);

    /* Largest value of each window, ignoring what lies outside the image; `which` (may be NULL)
     * receives, in the layout of y, the number kh * kernel_w + kw of the first largest. A window
     * has at most 255 taps and meets the image. Not-a-number wins. */
    void (*maxpool)(void *y, uint8_t *which, const void *x, const struct kn_pool_shape *s,
                    uint32_t n);
    void (*maxpool_grad)(void *dx, const void *dy, const uint8_t *which,
                         const struct kn_pool_shape *s, uint32_t n);
    /* Mean over the whole window, padding counted as zeros (torch's count_include_pad). */
    void (*avgpool)(void *y, const void *x, const struct kn_pool_shape *s, uint32_t n);
    void (*avgpool_grad)(void *dx, const void *dy, const struct kn_pool_shape *s, uint32_t n);

    /* max(x, 0), not-a-number kept; y may be x. Gradient: dy where y > 0 else 0; dx may be dy. */
    void (*relu)(void *y, const void *x, uint32_t n, size_t count);
    void (*relu_grad)(void *dx, const void *dy, const void *y, uint32_t n, size_t count);
    /* x * Phi(x) with the error function, torch's default; y may be x; dx may be dy. */
    void (*gelu)(void *y, const void *x, uint32_t n, size_t count);
    void (*gelu_grad)(void *dx, const void *dy, const void *x, uint32_t n, size_t count);

    /* Training: y = (x - mean) / sqrt(var + eps) * gamma + beta with mean and biased variance over
     * the n * area values of a channel. stats[0, C) = mean, stats[C, 2C) = mean of squares;
     * saved[0, C) = mean, saved[C, 2C) = 1 / sqrt(var + eps), both for the gradient. */
    void (*bn)(void *y, void *stats, void *saved, const void *x, const void *gamma,
               const void *beta, const struct kn_bn_shape *s, uint32_t n);
    /* dx may be dy. */
    void (*bn_grad)(void *dx, void *dgamma, void *dbeta, const void *dy, const void *x,
                    const void *gamma, const void *saved, const struct kn_bn_shape *s, uint32_t n);
    /* Evaluation with running statistics; y may be x. */
    void (*bn_eval)(void *y, const void *x, const void *gamma, const void *beta, const void *mean,
                    const void *var, const struct kn_bn_shape *s, uint32_t n);

    /* keep[] (1 or 0 in the layout of x) from Philox: kept where the draw of (key, sample, value)
     * is
     * >= rate; y = x / (1 - rate) there, else 0. y may be x. The gradient is the same product. */
    void (*dropout)(void *y, uint8_t *keep, const void *x, double rate,
                    const struct kn_dropout_key *key, uint32_t n, size_t count);
    void (*dropout_grad)(void *dx, const void *dy, const uint8_t *keep, double rate, uint32_t n,
                         size_t count);

    /* Over each row's values alone (Ba et al. 2016): y = (x - mean) / sqrt(var + eps) * gamma +
     * beta with biased variance. saved[0, rows) = mean, saved[rows, 2 rows) = 1 / sqrt(var + eps),
     * for the gradient; saved NULL: not wanted, and y may be x. */
    void (*layernorm)(void *y, void *saved, const void *x, const void *gamma, const void *beta,
                      double eps, uint32_t rows, uint32_t width);
    size_t (*layernorm_scratch)(uint32_t rows, uint32_t width);
    /* dx may be dy. */
    void (*layernorm_grad)(void *dx, void *dgamma, void *dbeta, const void *dy, const void *x,
                           const void *gamma, const void *saved, uint32_t rows, uint32_t width,
                           void *scratch);

    /* Row x[place] of w[vocab][width]; x holds whole numbers in [0, vocab), checked where the host
     * can read them. The gradient adds by rising sample and place, per block of lanes. */
    void (*embed)(void *y, const void *x, const void *w, const struct kn_embed_shape *s,
                  uint32_t n);
    void (*embed_grad)(void *dw, const void *dy, const void *x, const struct kn_embed_shape *s,
                       uint32_t n);

    /* y = x + b, one b for all samples; y may be x. */
    void (*shift)(void *y, const void *x, const void *b, uint32_t n, size_t count);
    void (*shift_grad)(void *db, const void *dy, uint32_t n, size_t count);

    /* Scaled dot-product attention (Vaswani et al. 2017, 3.2): x[place] = queries, keys, values,
     * each [heads][depth]; y[place] = [heads][depth] of sum over places seen of probs * value,
     * probs = softmax of query . key / sqrt(depth). probs[heads][places][places] (NULL: not wanted)
     * is for the gradient, which destroys it. Cost: 2 * heads * depth * places^2 MACs a sample
     * forward, twice that backward, half of it where causal. */
    size_t (*attention_scratch)(const struct kn_attention_shape *s, uint32_t n);
    void (*attention)(void *y, void *probs, const void *x, const struct kn_attention_shape *s,
                      uint32_t n, void *scratch);
    void (*attention_grad)(void *dx, const void *dy, const void *x, void *probs,
                           const struct kn_attention_shape *s, uint32_t n, void *scratch);

    /* Of either loss, for n samples of count outputs. */
    size_t (*loss_scratch)(uint32_t n, uint32_t count);
    /* Sum over samples of the mean over places of -log softmax(x)[label], with labels[n][places];
     * dx (may be NULL) = (softmax(x) - onehot) / places, the gradient of that sum. Labels are in
     * [0, classes), checked. dx may be x. */
    void (*cross_entropy)(struct kn_loss_sum *sum, void *dx, const void *x, const int32_t *labels,
                          uint32_t n, uint32_t places, uint32_t classes, void *scratch);
    /* Sum over samples of mean over outputs of (x - t)^2 with row-major targets t[n][count]. */
    void (*mse)(struct kn_loss_sum *sum, void *dx, const void *x, const float *targets, uint32_t n,
                uint32_t count, void *scratch);
    /* Probabilities of each of n samples (or rows); y may be x. */
    void (*softmax)(void *y, const void *x, uint32_t n, uint32_t classes);

    /* y = a + b; y may be a or b. */
    void (*add)(void *y, const void *a, const void *b, uint32_t n, size_t count);
};

/* Elements of a buffer for n samples of count values: whole blocks. */
size_t kn_layout_count(const struct kn_ops *ops, uint32_t n, size_t count);

const struct kn_ops *kn_ops_ref(void);
/* The table for this machine's instruction set; the same on every call. */
const struct kn_ops *kn_ops_cpu(void);
/* "v4" | "v3" | "base", for tests and for benchmarks; NULL when this machine cannot run it. */
const struct kn_ops *kn_ops_cpu_isa(const char *isa);

/* Once at program start, before any thread computes: fixes OpenBLAS at one thread per call.
 * UNSUPPORTED when the OpenBLAS found has 64-bit integers. */
KN_MUST_USE enum kn_err kn_open(struct kn_diag *diag);
/* Rounding to nearest, no flush-to-zero, no denormals-are-zero, exceptions masked, for the calling
 * thread. The graph calls it at the start of every step: a library loaded later can change it. */
void kn_fp_enter(void);

#define KN_CLASS_BYTES 1024u
/* Describes the arithmetic of this process in lines of text: build of these kernels, OpenBLAS
 * configuration and core, instruction set, and the bits of a fixed small training step. Equal
 * texts: equal bits from equal inputs. Needs kn_open; takes some milliseconds. */
KN_MUST_USE enum kn_err kn_class(char text[KN_CLASS_BYTES], struct kn_diag *diag);
/* openblas_get_corename(), for benchmarks and logs. */
const char *kn_blas_core(void);

#endif
