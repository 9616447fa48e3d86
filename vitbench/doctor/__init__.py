"""`vitbench doctor`: is anything on this machine going to distort a measurement?"""
