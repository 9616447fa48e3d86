"""`vitbench reproduce`: all that it takes to make a row again, as a script; run at once, and compared with what was."""
