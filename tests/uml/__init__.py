"""User-mode-linux guests: kernels with PPP and MPPE for a host that has neither.

guest.py        boots one and ends it
guest_init.py   what runs inside, from the first program on
xstate_shim.c   without it, UML cannot run on a CPU with AMX; xstate_wide.c tries it on any CPU
"""
