"""What synthetic rows tell of the patients behind them."""
