# Entry of a static program on Linux: the stack holds argc, then argv.
        .text
        .globl  _start
_start: mv      a0, sp
        andi    sp, sp, -16
        call    start

# system(a, b, c, d, e, number): a system call as the kernel takes it; a negative result
# is an error's number.
        .globl  system
system: mv      a7, a5
        ecall
        ret
