"""The functions and objects of survlstm for Python code and notebooks; ``import survlstm`` offers them."""
