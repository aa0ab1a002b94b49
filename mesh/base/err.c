/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

static const char *const NAMES[SH_ERR_COUNT] = {
#define X(number, name, text) [number] = #name,
    SH_ERR_MAP(X)
#undef X
};

static const char *const TEXTS[SH_ERR_COUNT] = {
#define X(number, name, text) [number] = text,
    SH_ERR_MAP(X)
#undef X
};

const char *sh_err_name(enum sh_err err)
{
    return (unsigned)err < SH_ERR_COUNT ? NAMES[err] : "UNKNOWN";
}

const char *sh_err_text(enum sh_err err)
{
    return (unsigned)err < SH_ERR_COUNT ? TEXTS[err] : "unknown error";
}

enum sh_err sh_err_from_u32(uint32_t number)
{
    return number < SH_ERR_COUNT ? (enum sh_err)number : SH_ERR_INVALID;
}
