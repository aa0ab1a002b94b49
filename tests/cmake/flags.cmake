# SPDX-License-Identifier: Apache-2.0
# shoal_flags: what every target of this project is compiled with. Foreign headers are SYSTEM.
add_library(shoal_flags INTERFACE)
target_compile_options(shoal_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wstrict-prototypes
    -Wmissing-prototypes -Wold-style-definition -Wpointer-arith -Wcast-align -Wcast-qual
    -Wwrite-strings -Wvla -Wformat=2 -Wswitch-enum -Wundef -Wdouble-promotion -Wfloat-equal
    -Wnull-dereference -Wdate-time
    -ffp-contract=off -fno-strict-aliasing -fno-common -fno-omit-frame-pointer
    -ffile-prefix-map=${CMAKE_SOURCE_DIR}=.)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    target_compile_options(shoal_flags INTERFACE
        -Wduplicated-cond -Wduplicated-branches -Wlogical-op -Walloca -Wjump-misses-init
        -Wformat-signedness -Wimplicit-fallthrough=5 -Wredundant-decls)
endif()
target_compile_definitions(shoal_flags INTERFACE _GNU_SOURCE SHOAL_VERSION="${PROJECT_VERSION}")
if(SHOAL_WERROR)
    target_compile_options(shoal_flags INTERFACE -Werror)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Debug")
    target_compile_options(shoal_flags INTERFACE -O1)
endif()
if(SHOAL_HARDEN)
    target_compile_options(shoal_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
        -fstack-protector-strong -fstack-clash-protection -fcf-protection)
    target_link_options(shoal_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)
endif()
if(SHOAL_SANITIZE)
    target_compile_options(shoal_flags INTERFACE -fsanitize=${SHOAL_SANITIZE}
        -fno-sanitize-recover=all)
    target_link_options(shoal_flags INTERFACE -fsanitize=${SHOAL_SANITIZE})
endif()
if(SHOAL_COVERAGE)
    target_compile_options(shoal_flags INTERFACE --coverage)
    target_link_options(shoal_flags INTERFACE --coverage)
endif()
if(SHOAL_FUZZ)
    target_compile_options(shoal_flags INTERFACE -fsanitize=fuzzer-no-link,address,undefined)
    target_link_options(shoal_flags INTERFACE -fsanitize=address,undefined)
endif()
