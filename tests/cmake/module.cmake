# SPDX-License-Identifier: Apache-2.0
# One function per kind of target. Modules list their sources; nothing is globbed.
#
# shoal_module(NAME [PURE] SOURCES a.c ... [USES mod ...] [LINKS lib ...] [FLAGS opt ...])
#   static library shoal_NAME; PURE modules are audited (tests/tools/pure.py): no clock, heap, I/O.
# shoal_program(NAME SOURCES ... [USES ...] [LINKS ...])      executable in build/<preset>/bin
# shoal_test(NAME SOURCES ... [USES ...] [LINKS ...] [SLOW|PLAIN])
#                                                             test program on tests/lib/tst.h
# shoal_check(NAME COMMAND ... [NEEDS test] [SLOW|ALONE] [SANITIZED])
#                                                             a command that exits 0 (or 77: skip);
#                                                             NEEDS: it runs this test program;
#                                                             ALONE: slow, with nothing beside it;
#                                                             SANITIZED: only of a sanitizer's build
# shoal_fuzz(NAME SOURCE f.c CORPUS dir [USES ...])           libFuzzer target; as a unit test it replays
#                                                             the corpus through tests/lib/replay.c

set_property(GLOBAL PROPERTY SHOAL_MODULES "")
set_property(GLOBAL PROPERTY SHOAL_TESTS "")

function(shoal_module name)
    cmake_parse_arguments(A "PURE" "" "SOURCES;USES;LINKS;FLAGS" ${ARGN})
    add_library(shoal_${name} STATIC ${A_SOURCES})
    target_link_libraries(shoal_${name} PRIVATE shoal_flags)
    # "base/err.h", "raft/raft.h", "kv.h": the include root is the folder above the module.
    target_include_directories(shoal_${name} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/..)
    foreach(use IN LISTS A_USES)
        target_link_libraries(shoal_${name} PUBLIC shoal_${use})
    endforeach()
    target_link_libraries(shoal_${name} PRIVATE ${A_LINKS})
    target_compile_options(shoal_${name} PRIVATE ${A_FLAGS})
    set(kind impure)
    if(A_PURE)
        set(kind pure)
    endif()
    file(RELATIVE_PATH dir ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
    set_property(GLOBAL APPEND PROPERTY SHOAL_PROGRAMS shoal_${name})
    set_property(GLOBAL APPEND PROPERTY SHOAL_MODULES "${name} ${kind} ${dir} $<TARGET_FILE:shoal_${name}>")
endfunction()

function(shoal_program name)
    cmake_parse_arguments(A "" "" "SOURCES;USES;LINKS" ${ARGN})
    add_executable(${name} ${A_SOURCES})
    target_link_libraries(${name} PRIVATE shoal_flags)
    foreach(use IN LISTS A_USES)
        target_link_libraries(${name} PRIVATE shoal_${use})
    endforeach()
    target_link_libraries(${name} PRIVATE ${A_LINKS})
    set_property(GLOBAL APPEND PROPERTY SHOAL_PROGRAMS ${name})
endfunction()

function(shoal_test name)
    cmake_parse_arguments(A "SLOW;PLAIN" "" "SOURCES;USES;LINKS" ${ARGN})
    add_executable(test_${name} ${A_SOURCES})
    set_target_properties(test_${name} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    target_compile_definitions(test_${name} PRIVATE TST_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    target_link_libraries(test_${name} PRIVATE shoal_flags)
    foreach(use IN LISTS A_USES)
        target_link_libraries(test_${name} PRIVATE shoal_${use})
    endforeach()
    target_link_libraries(test_${name} PRIVATE shoal_tst ${A_LINKS})
    set(speed fast)
    if(A_SLOW)
        set(speed slow)
    elseif(A_PLAIN)
        set(speed plain)
    endif()
    if(speed STREQUAL fast)
        set_property(GLOBAL APPEND PROPERTY SHOAL_SANITIZED test_${name})
    else()
        set_property(GLOBAL APPEND PROPERTY SHOAL_UNSANITIZED test_${name})
    endif()
    set_property(GLOBAL APPEND PROPERTY SHOAL_TESTS "${speed} tst ${name} $<TARGET_FILE:test_${name}>")
endfunction()

function(shoal_check name)
    cmake_parse_arguments(A "SLOW;ALONE;SANITIZED" "NEEDS" "COMMAND" ${ARGN})
    set(kind check)
    if(A_SANITIZED)
        if(NOT SHOAL_SANITIZE)
            return()
        endif()
        set(kind sanitized)
    endif()
    set(speed fast)
    if(A_ALONE)
        set(speed alone)
    elseif(A_SLOW)
        set(speed slow)
    endif()
    if(A_NEEDS)
        set_property(GLOBAL APPEND PROPERTY SHOAL_UNSANITIZED ${A_NEEDS})
    endif()
    list(JOIN A_COMMAND " " line)
    set_property(GLOBAL APPEND PROPERTY SHOAL_TESTS "${speed} ${kind} ${name} ${line}")
endfunction()

function(shoal_fuzz name)
    cmake_parse_arguments(A "" "SOURCE;CORPUS" "USES;LINKS" ${ARGN})
    if(SHOAL_FUZZ)
        add_executable(fuzz_${name} ${A_SOURCE})
        target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    else()
        add_executable(fuzz_${name} ${A_SOURCE} ${CMAKE_SOURCE_DIR}/tests/lib/replay.c)
        set_property(GLOBAL APPEND PROPERTY SHOAL_SANITIZED fuzz_${name})
        set_property(GLOBAL APPEND PROPERTY SHOAL_TESTS
            "fast fuzz fuzz_${name} $<TARGET_FILE:fuzz_${name}> ${A_CORPUS}")
    endif()
    set_target_properties(fuzz_${name} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
    target_link_libraries(fuzz_${name} PRIVATE shoal_flags)
    foreach(use IN LISTS A_USES)
        target_link_libraries(fuzz_${name} PRIVATE shoal_${use})
    endforeach()
    target_link_libraries(fuzz_${name} PRIVATE ${A_LINKS})
endfunction()

# build/<preset>/modules.list: "name pure|impure dir archive"; tests.list: "SPEED KIND name command",
# SPEED one of fast, plain, slow, alone, KIND one of tst, fuzz, check, sanitized. Targets: programs,
# all but the tests; unsanitized, those and the tests that a sanitizer's build does not run instead;
# sanitized, what that one runs.
function(shoal_write_manifests)
    get_property(modules GLOBAL PROPERTY SHOAL_MODULES)
    get_property(tests GLOBAL PROPERTY SHOAL_TESTS)
    list(JOIN modules "\n" modules)
    list(JOIN tests "\n" tests)
    file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/modules.list CONTENT "${modules}\n")
    file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/tests.list CONTENT "${tests}\n")
    get_property(programs GLOBAL PROPERTY SHOAL_PROGRAMS)
    get_property(unsanitized GLOBAL PROPERTY SHOAL_UNSANITIZED)
    get_property(sanitized GLOBAL PROPERTY SHOAL_SANITIZED)
    add_custom_target(programs DEPENDS ${programs})
    add_custom_target(sanitized DEPENDS shoal shoal-keeper ${sanitized})
    add_custom_target(unsanitized DEPENDS ${programs} ${unsanitized})
endfunction()
