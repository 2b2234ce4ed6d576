# A program that fails on purpose: whoever runs the tests can see that a failure is
# seen. It must exit with the number of the line that holds the wrong expectation.
#include "test.h"
TEST_BEGIN
RR(add, 3, 1, 2)
RR(add, 4, 1, 2)
RR(add, 3, 1, 2)
TEST_END
