"""The method: the outer iteration, the parts it is made of, and what is checked where they meet."""
