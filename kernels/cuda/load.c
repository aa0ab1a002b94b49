/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cuda/load.h"

#include <dlfcn.h>

/* The module stays mapped whatever becomes of it: CUDA's runtime leaves threads and exit functions
 * behind. */
#define LOAD_FLAGS (RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)

enum kn_err kn_cuda_load(const char *path, const struct kn_ops **ops, struct kn_cuda_device *device,
                         struct kn_diag *diag)
{
    KN_CHECK(ops != NULL);
    KN_CHECK(device != NULL);
    void *module = dlopen(path != NULL ? path : "$ORIGIN/" KN_CUDA_MODULE, LOAD_FLAGS);
    if (module == NULL) {
        return kn_fail(diag, KN_ERR_UNSUPPORTED, "no CUDA module%s: %s",
                       path != NULL ? "" : " beside the program", dlerror());
    }
    enum kn_err (*module_open)(uint32_t, const struct kn_ops **, struct kn_cuda_device *,
                               struct kn_diag *);
    *(void **)&module_open = dlsym(module, KN_CUDA_OPEN);
    enum kn_err err;
    if (module_open == NULL) {
        err = kn_fail(diag, KN_ERR_UNSUPPORTED, "%s is not a CUDA module of this program: no %s",
                      path != NULL ? path : KN_CUDA_MODULE, KN_CUDA_OPEN);
    } else {
        err = module_open(KN_OPS_VERSION, ops, device, diag);
    }
    if (err != KN_OK) {
        dlclose(module);
    } else {
        KN_CHECK((*ops)->version == KN_OPS_VERSION);
    }
    return err;
}
