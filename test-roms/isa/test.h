/* The vocabulary of the ISA tests: one macro call is one row of a table and one
 * test. A test's number is the line it stands on, so a verdict of 42 is line 42 of
 * the source (or 42 + 256, in longer files, where only a process's exit status is
 * seen).
 *
 * Every row loads its operands afresh, so rows are independent. Registers:
 * gp = number, a0 = result, a1.. = operands, t6 = the expected value. */

#define TEST_BEGIN  .text ; .globl test_main ; .balign 4 ; test_main:
#define TEST_END    li a0, 0 ; j finish

/* Start a test: everything that fails from here on fails as this line. */
#define T li gp, __LINE__ ;

/* The register must hold the value. */
#define IS(reg, value)  li t6, value ; bne reg, t6, fail ;

/* result = op a, b. Also checked with the destination on either source. */
#define RR(op, result, a, b)                                                  \
        T li a1, a ; li a2, b ; op a0, a1, a2 ; IS(a0, result)                \
        op a1, a1, a2 ; IS(a1, result)                                        \
        li a1, a ; op a2, a1, a2 ; IS(a2, result)

/* result = op a, immediate */
#define RI(op, result, a, imm)                                                \
        T li a1, a ; op a0, a1, imm ; IS(a0, result)                          \
        op a1, a1, imm ; IS(a1, result)

/* result = op a */
#define R1(op, result, a)                                                     \
        T li a1, a ; op a0, a1 ; IS(a0, result) op a1, a1 ; IS(a1, result)

/* A conditional branch is taken (T) or not (N), forwards and backwards. */
#define TAKEN(op, a, b)                                                       \
        T li a1, a ; li a2, b ; op a1, a2, 2f ; j fail ;                      \
1:      j 3f ; j fail ;                                                       \
2:      op a1, a2, 1b ; j fail ;                                              \
3:
#define NOT_TAKEN(op, a, b)                                                   \
        T li a1, a ; li a2, b ; op a1, a2, 1f ; j 2f ; 1: j fail ; 2:

/* result = load at base + offset; `data` is a label */
#define LD(op, result, offset, data)                                          \
        T la a1, data ; op a0, offset(a1) ; IS(a0, result)                    \
        la a1, (data) + (offset) - 2047 ; op a1, 2047(a1) ; IS(a1, result)

/* Store `value` with op at data + offset, then read `result` back with `back`. */
#define ST(op, back, value, result, offset, data)                             \
        T la a1, data ; li a2, value ; op a2, offset(a1) ;                    \
        back a0, offset(a1) ; IS(a0, result)
