#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The same failures as test_openssh_failures.sh, with Warren's own client.
export CLIENT=warren-ssh
exec "$WARREN_SRC/tests/netns/test_openssh_failures.sh"
